import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RecoveryState } from '../restore/watch-recovery.ts';
import type { CliContext } from './context.ts';
import { startRecoveryProgress } from './recovery-progress.ts';

function at(state: RecoveryState['state'], replayedLsn: string): RecoveryState {
  return { state, replayedLsn, lastTransactionAt: undefined, timeline: 1 };
}

/** What is written to stderr over so many seconds, looked at ten times in each. */
function watch(terminal: boolean, seconds: number, state: (second: number) => RecoveryState | undefined): string[] {
  let nowMs = Date.parse('2026-11-23T12:00:00Z');
  const written: string[] = [];
  const context = {
    terminal,
    now: () => new Date(nowMs),
    stderr: (text: string) => written.push(text),
    stderrRaw: (text: string) => written.push(text),
  };
  const progress = startRecoveryProgress(context as unknown as CliContext);
  for (let tenth = 0; tenth < seconds * 10; tenth += 1) {
    progress.onState(state(Math.floor(tenth / 10)));
    nowMs += 100;
  }
  progress.end();
  return written;
}

test('a plain line comes now and then, and none of a recovery that is over at once', () => {
  const lines = watch(false, 25, (second) => (second < 11 ? undefined : at('recovering', `0/${second}`)));
  assert.deepEqual(lines, [
    'recovery  it takes no connections yet',
    'recovery  recovering, replayed to 0/11, no transaction yet',
    'recovery  recovering, replayed to 0/21, no transaction yet',
  ]);
  assert.deepEqual(
    watch(false, 25, () => at('paused', '0/5')),
    [],
  );
});

test('on a terminal the line follows every look, and goes in the end', () => {
  const written = watch(true, 1, () => at('recovering', '0/5'));
  assert.equal(written.length, 11);
  assert.equal(written.at(-1), '\r\u001B[2K');
});
