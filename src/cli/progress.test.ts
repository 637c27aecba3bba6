import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CliContext } from './context.ts';
import { startProgress } from './progress.ts';

/** A clock that the test moves, and what was written to stderr. */
function world(terminal: boolean): { context: CliContext; written: string[]; pass: (seconds: number) => void } {
  let nowMs = Date.parse('2026-11-23T12:00:00Z');
  const written: string[] = [];
  const context = {
    terminal,
    now: () => new Date(nowMs),
    stderr: (text: string) => written.push(`${text}\n`),
    stderrRaw: (text: string) => written.push(text),
  };
  return { context: context as unknown as CliContext, written, pass: (seconds) => (nowMs += seconds * 1000) };
}

const clearLine = '\r\u001B[2K';

test('on a terminal one line redraws itself, with share, rate and time left', () => {
  const { context, written, pass } = world(true);
  const progress = startProgress(context, 'backup of main');
  progress.total(100_000_000);
  pass(1);
  progress.advance(25_000_000);
  assert.equal(
    written.at(-1),
    `${clearLine}backup of main  [######..................]  25 % of 100 MB  25.0 MB/s  3 s left`,
  );
  progress.advance(1);
  assert.equal(written.length, 1, 'not more often than a tenth of a second');
  pass(0.2);
  progress.advance(74_999_999);
  assert.match(written.at(-1) ?? '', /\[#{24}\] {2}100 % of 100 MB .* 0 s left$/);
  progress.end();
  assert.equal(written.at(-1), clearLine);
});

test('elsewhere a plain line comes now and then', () => {
  const { context, written, pass } = world(false);
  const progress = startProgress(context, 'restore');
  pass(5);
  progress.advance(1_000_000);
  assert.deepEqual(written, []);
  pass(5);
  progress.advance(1_000_000);
  assert.deepEqual(written, ['restore  2.00 MB  200 kB/s\n']);
  progress.say('waiting for WAL');
  progress.end();
  assert.deepEqual(written.slice(1), ['restore  waiting for WAL\n']);
});

test('a total that proves too small never shows more than all of it', () => {
  const { context, written, pass } = world(true);
  const progress = startProgress(context, 'backup');
  progress.total(10);
  pass(1);
  progress.advance(50);
  assert.match(written.at(-1) ?? '', /100 % of 10 B .* 0 s left/);
});

test('nothing that was not drawn is cleared', () => {
  const { context, written } = world(true);
  startProgress(context, 'backup').end();
  assert.deepEqual(written, []);
});
