import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { startLsn } from '../../test/support/made-up-cluster.ts';
import { countingBytes, testRepository } from '../../test/support/test-repository.ts';
import { ExtentReader } from '../repository/extent-reader.ts';
import { copyHere } from './copying.ts';
import type { CopyItem } from './copy-items.ts';
import { unpackMap } from './packed-map.ts';

describe('copying in this thread', () => {
  const directory = mkdtempSync(join(tmpdir(), 'pgr-copying-'));
  after(() => rmSync(directory, { recursive: true }));

  function file(name: string, lengthBytes: number): { readonly content: Buffer; readonly item: CopyItem } {
    const absolutePath = join(directory, name);
    const content = Buffer.from(countingBytes(name)(lengthBytes));
    writeFileSync(absolutePath, content);
    const look = { kind: 'everything' } as const;
    return {
      content,
      item: { absolutePath, offset: 0, lengthBytes, toEnd: false, firstBlock: undefined, look, before: undefined },
    };
  }

  it('does batches that are asked for at once one after the other: they use the same memory', async () => {
    const cluster = (await testRepository()).cluster('main');
    const files = Array.from({ length: 12 }, (_, i) => file(`file ${i}`, 8192 * (i + 1) + i));
    const copying = copyHere(cluster, startLsn);
    const results = await Promise.all(files.map(async ({ item }) => copying.copy([item])));
    await copying.finish();
    const reader = new ExtentReader(cluster);
    for (const [i, { content }] of files.entries()) {
      const copied = results[i]?.items[0];
      assert.equal(copied?.lengthBytes, content.length);
      const found = Buffer.alloc(content.length);
      await reader.read(unpackMap(copied.content, content.length), (bytes, { fileOffset }) =>
        found.set(bytes, fileOffset),
      );
      assert.ok(found.equals(content), `file ${i} holds what another one has`);
    }
    await reader.close();
    await copying.close();
  });
});
