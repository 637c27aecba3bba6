import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { hasCode } from '../errors/pgrecall-error.ts';
import type { ClientEnding } from './client-process.ts';
import { feedClient } from './feed-client.ts';

describe('a program that is fed', () => {
  const directory = mkdtempSync(join(tmpdir(), 'pgrecall-feed-'));
  after(() => rmSync(directory, { recursive: true }));
  const run = async (
    script: string,
    feed?: AsyncIterable<Uint8Array>,
    signal = new AbortController().signal,
  ): Promise<ClientEnding> =>
    feedClient(
      { program: 'sh', arguments: ['-c', script], env: { PATH: process.env['PATH'], DIR: directory } },
      { signal, onLine: () => undefined, ...(feed ? { feed } : {}) },
    );
  async function* pieces(count: number): AsyncGenerator<Uint8Array> {
    // The same memory every time, as who reads a dump hands it over.
    const piece = Buffer.alloc(100_000);
    for (let i = 0; i < count; i += 1) yield piece.fill(65 + i);
  }

  it('gets every byte, then the end', async () => {
    assert.equal((await run('cat > "$DIR/all"', pieces(20))).exitStatus, 0);
    const expected = Buffer.concat(Array.from({ length: 20 }, (_, i) => Buffer.alloc(100_000, 65 + i)));
    assert.ok(readFileSync(join(directory, 'all')).equals(expected));
  });

  it('sees no end of its input where that broke off', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield* pieces(3);
      throw new Error('damaged');
    }
    await assert.rejects(run('cat > /dev/null; touch "$DIR/ended"', broken()), /damaged/);
    assert.ok(!existsSync(join(directory, 'ended')));
  });

  it('may end before its input does, and says how', async () => {
    const ending = await run('echo "no more" >&2; exit 3', pieces(50));
    assert.deepEqual(ending, { exitStatus: 3, killedBy: null, lines: ['no more'] });
  });

  it('is ended where that is wanted', async () => {
    const aborted = new AbortController();
    setTimeout(() => aborted.abort(new Error('enough')), 50);
    await assert.rejects(run('exec sleep 60', pieces(50), aborted.signal), /enough/);
  });

  it('that is not there is named', async () => {
    const command = { program: '/nowhere/psql', arguments: [], env: {} };
    const fed = feedClient(command, { signal: new AbortController().signal, onLine: () => undefined, feed: pieces(2) });
    await assert.rejects(fed, (error) => hasCode(error, 'server-program-missing') && /nowhere/.test(error.message));
  });
});
