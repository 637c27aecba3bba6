import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import {
  mebibyte,
  nameOf,
  sameBytes,
  testArchive,
  walSegment,
  type TestArchive,
} from '../../test/support/test-archive.ts';
import { parseLsn } from '../postgres/lsn.ts';
import { fetchFile } from './fetch-file.ts';

const root = mkdtempSync(join(tmpdir(), 'pgrecall-fetch-'));
after(() => rmSync(root, { recursive: true, force: true }));

const newDirectory = (): string => mkdtempSync(join(root, 'd'));
const history = Buffer.from('1\t0/5000100\tno recovery target specified\n');

async function filled(passphrase?: string): Promise<TestArchive> {
  const archive = await testArchive(passphrase === undefined ? {} : { passphrase });
  await archive.store.putSegment(nameOf(5), walSegment(5, { commits: [1n] }));
  await archive.store.putPartial(nameOf(6), walSegment(6, { usedBytes: 81_920 }));
  await archive.store.putHistory('00000002.history', history);
  return archive;
}

describe('fetching a file of WAL', () => {
  for (const passphrase of [undefined, 'correct horse battery staple']) {
    it(`puts it where it is wanted, whole${passphrase === undefined ? '' : ', out of an encrypted repository'}`, async () => {
      const { store } = await filled(passphrase);
      const directory = newDirectory();
      const path = join(directory, 'RECOVERYXLOG');
      const fetched = async (name: string): Promise<Buffer> => {
        assert.equal(await fetchFile(store, name, path), true);
        return readFileSync(path);
      };
      sameBytes(await fetched(nameOf(5)), walSegment(5, { commits: [1n] }));
      sameBytes(await fetched(nameOf(6)), walSegment(6, { usedBytes: 81_920 }));
      sameBytes(await fetched('00000002.history'), history);
      assert.deepEqual(readdirSync(directory), ['RECOVERYXLOG']);
    });
  }

  it('leaves everything as it is where the archive has no such file', async () => {
    const { store } = await filled();
    const directory = newDirectory();
    writeFileSync(join(directory, 'RECOVERYXLOG'), 'before');
    for (const name of [nameOf(7), nameOf(5, 2), '00000003.history']) {
      assert.equal(await fetchFile(store, name, join(directory, 'RECOVERYXLOG')), false);
    }
    await assert.rejects(fetchFile(store, 'pg_control', join(directory, 'RECOVERYXLOG')), { code: 'wal-name' });
    assert.equal(readFileSync(join(directory, 'RECOVERYXLOG'), 'utf8'), 'before');
    assert.deepEqual(readdirSync(directory), ['RECOVERYXLOG']);
  });

  it('puts zeros behind the position up to which it is wanted', async () => {
    const { store } = await testArchive();
    await store.putSegment(nameOf(5), walSegment(5));
    const path = join(newDirectory(), 'RECOVERYXLOG');
    assert.equal(await fetchFile(store, nameOf(5), path, { untilLsn: parseLsn('0/500100') }), true);
    const expected = Buffer.from(walSegment(5));
    expected.fill(0, 0x100);
    sameBytes(readFileSync(path), expected);
  });

  it('shows nothing of a segment that is damaged anywhere', async () => {
    const { store, objects } = await filled();
    const key = `clusters/main/${(await store.findSegment(nameOf(5)))?.key}`;
    const good = objects.get(key) ?? Buffer.alloc(0);
    const directory = newDirectory();
    for (let at = 8; at < good.length; at += Math.ceil(good.length / 40)) {
      objects.set(key, Buffer.from(good.map((byte, i) => (i === at ? byte ^ 4 : byte))));
      await assert.rejects(fetchFile(store, nameOf(5), join(directory, 'x')), { exitStatus: 3 }, `byte ${at}`);
      objects.set(key, good.subarray(0, at));
      await assert.rejects(fetchFile(store, nameOf(5), join(directory, 'x')), { exitStatus: 3 }, `cut at ${at}`);
    }
    assert.deepEqual(readdirSync(directory), []);
  });

  it('refuses a segment that is shorter than segments are', async () => {
    const { store } = await testArchive();
    const key = `wal/1/00000001/00000000/${nameOf(5)}-${'0'.repeat(64)}`;
    await store.cluster.putSealed(key, walSegment(5).subarray(0, mebibyte / 2));
    const directory = newDirectory();
    await assert.rejects(fetchFile(store, nameOf(5), join(directory, 'x')), { code: 'object-damaged' });
    assert.deepEqual(readdirSync(directory), []);
  });

  it('says where it cannot write', async () => {
    const { store } = await filled();
    await assert.rejects(fetchFile(store, nameOf(5), join(newDirectory(), 'nowhere', 'x')), {
      code: 'io',
      message: /cannot write ".*nowhere\/x/,
    });
    const directory = newDirectory();
    mkdirSync(join(directory, 'x'));
    await assert.rejects(fetchFile(store, nameOf(5), join(directory, 'x')), { code: 'io' });
    assert.deepEqual(readdirSync(directory), ['x']);
  });
});
