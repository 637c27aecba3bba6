import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { test, type TestContext } from 'node:test';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import { nodeFileSystem, type LocalFileSystem } from './local-file-system.ts';
import { LocalStorage } from './local.ts';
import { temporaryName } from './temporary-name.ts';

function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'pgrecall-local-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

/** A file system that notes what it is asked, with temporary names told as `<directory>/~`. */
function recording(root: string): { fs: LocalFileSystem; calls: string[] } {
  const calls: string[] = [];
  const paths = new Map<number, string>();
  const tell = (path: unknown): string => relative(root, String(path)).replace(/tmp~\S+/, '~') || '.';
  const fs: LocalFileSystem = {
    ...nodeFileSystem,
    openSync: (path, flags, mode) => {
      const descriptor = nodeFileSystem.openSync(path, flags, mode);
      paths.set(descriptor, tell(path));
      return descriptor;
    },
    fsyncSync: (descriptor) => {
      calls.push(`fsync ${paths.get(descriptor) ?? '?'}`);
      nodeFileSystem.fsyncSync(descriptor);
    },
    fdatasyncSync: (descriptor) => {
      calls.push(`fdatasync ${paths.get(descriptor) ?? '?'}`);
      nodeFileSystem.fdatasyncSync(descriptor);
    },
    linkSync: (from, to) => {
      nodeFileSystem.linkSync(from, to);
      calls.push(`link ${tell(from)} ${tell(to)}`);
    },
    renameSync: (from, to) => {
      nodeFileSystem.renameSync(from, to);
      calls.push(`rename ${tell(from)} ${tell(to)}`);
    },
    unlinkSync: (path) => {
      nodeFileSystem.unlinkSync(path);
      calls.push(`unlink ${tell(path)}`);
    },
    mkdirSync: ((path: string, options: { recursive?: boolean; mode: number }) => {
      const made = nodeFileSystem.mkdirSync(path, options);
      calls.push(`mkdir ${tell(path)}`);
      return made;
    }) as LocalFileSystem['mkdirSync'],
    rmdirSync: (path) => {
      nodeFileSystem.rmdirSync(path);
      calls.push(`rmdir ${tell(path)}`);
    },
  };
  return { fs, calls };
}

test('an object is durable before it has its name, and its name before put returns', async (t) => {
  const root = join(temporaryDirectory(t), 'repository');
  const { fs, calls } = recording(root);
  const storage = new LocalStorage(root, fs);
  await storage.put('a/b/object', Buffer.from('x'));
  assert.deepEqual(calls, [
    'mkdir .',
    'fsync ..',
    'mkdir a',
    'fsync .',
    'mkdir a/b',
    'fsync a',
    'fdatasync a/b/~',
    'link a/b/~ a/b/object',
    'unlink a/b/~',
    'fsync a/b',
  ]);
  calls.length = 0;
  await storage.put('a/b/object', Buffer.from('y'), { replace: true });
  assert.deepEqual(calls, ['fdatasync a/b/~', 'rename a/b/~ a/b/object', 'fsync a/b']);
  calls.length = 0;
  await storage.delete('a/b/object');
  assert.deepEqual(calls, ['unlink a/b/object', 'rmdir a/b', 'rmdir a', 'fsync .']);
});

test('every directory above a repository that is made is durable too', async (t) => {
  const top = temporaryDirectory(t);
  const root = join(top, 'one/two/repository');
  const { fs, calls } = recording(root);
  await new LocalStorage(root, fs).put('x', Buffer.from('x'));
  assert.deepEqual(
    calls.filter((call) => call.startsWith('fsync')),
    ['fsync ..', 'fsync ../..', 'fsync ../../..', 'fsync .'],
  );
});

test('only its owner can read a repository', async (t) => {
  const root = join(temporaryDirectory(t), 'repository');
  await new LocalStorage(root).put('a/object', Buffer.from('x'));
  assert.equal(statSync(root).mode & 0o777, 0o700);
  assert.equal(statSync(join(root, 'a')).mode & 0o777, 0o700);
  assert.equal(statSync(join(root, 'a/object')).mode & 0o777, 0o600);
});

test('what a writer that died left behind is not listed, and is swept; that of one alive stays', async (t) => {
  const root = temporaryDirectory(t);
  const storage = new LocalStorage(root);
  await storage.put('packs/good', Buffer.from('x'));
  const child = spawn(process.execPath, ['-e', '']);
  await new Promise((resolve) => child.once('exit', resolve));
  const dead = temporaryName(hostname(), child.pid ?? 0, 'ab');
  const others = [temporaryName(hostname(), process.pid, 'cd'), temporaryName('another-host', child.pid ?? 0, 'ef')];
  for (const name of [dead, ...others]) writeFileSync(join(root, 'packs', name), 'half a pa');
  for (const folder of ['backups', 'backups/one', 'backups/another']) mkdirSync(join(root, folder));
  writeFileSync(join(root, 'backups/one', dead), 'half a mani');
  const listed: string[] = [];
  for await (const { name } of storage.list('packs')) listed.push(name);
  assert.deepEqual(listed, ['good']);
  assert.equal(await storage.sweepTemporaries(), 2);
  assert.deepEqual(readdirSync(join(root, 'packs')).toSorted(), ['good', ...others].toSorted());
  assert.deepEqual(readdirSync(root), ['packs'], 'directories with nothing in them go, too');
});

const failingWrite = (code: string): LocalFileSystem => ({
  ...nodeFileSystem,
  writeSync: () => {
    throw Object.assign(new Error(`${code}: injected`), { code });
  },
});

for (const code of ['ENOSPC', 'EDQUOT']) {
  test(`a full disk (${code}) is told as one, with the path, and leaves nothing`, async (t) => {
    const root = temporaryDirectory(t);
    await assert.rejects(new LocalStorage(root, failingWrite(code)).put('a/b', Buffer.from('x')), (error) => {
      assert.ok(hasCode(error, 'disk-full'));
      assert.ok(error.message.includes(join(root, 'a/b')));
      return true;
    });
    assert.deepEqual(readdirSync(join(root, 'a')), []);
  });
}

test('any other trouble of the disk is a storage error with its cause', async (t) => {
  const root = temporaryDirectory(t);
  await assert.rejects(new LocalStorage(root, failingWrite('EIO')).put('a', Buffer.from('x')), (error) => {
    assert.ok(error instanceof PgrecallError && error.code === 'storage');
    assert.ok(error.cause instanceof Error && error.message.includes('EIO'));
    return true;
  });
});

test('an object whose bytes could not be made durable does not appear', async (t) => {
  const root = temporaryDirectory(t);
  const fs: LocalFileSystem = {
    ...nodeFileSystem,
    fdatasyncSync: () => {
      throw Object.assign(new Error('EIO: injected'), { code: 'EIO' });
    },
  };
  await assert.rejects(new LocalStorage(root, fs).put('a', Buffer.from('x')));
  assert.deepEqual(readdirSync(root), []);
});

test('where the file system has no hard links, objects are still not overwritten', async (t) => {
  const root = temporaryDirectory(t);
  const fs: LocalFileSystem = {
    ...nodeFileSystem,
    linkSync: () => {
      throw Object.assign(new Error('EPERM: injected'), { code: 'EPERM' });
    },
  };
  const storage = new LocalStorage(root, fs);
  await storage.put('a', Buffer.from('first'));
  await assert.rejects(storage.put('a', Buffer.from('second')), (error) => hasCode(error, 'object-exists'));
  assert.equal(Buffer.from(await storage.get('a')).toString(), 'first');
  assert.deepEqual(readdirSync(root), ['a']);
});

test('a folder that another process deletes under way is made again', async (t) => {
  const root = temporaryDirectory(t);
  const storage = new LocalStorage(root);
  await storage.put('a/b/one', Buffer.from('x'));
  rmSync(join(root, 'a'), { recursive: true });
  await storage.put('a/b/two', Buffer.from('y'));
  assert.equal(Buffer.from(await storage.get('a/b/two')).toString(), 'y');
});

test('a folder that was moved to another disk and linked is listed as a folder', async (t) => {
  const root = temporaryDirectory(t);
  const elsewhere = temporaryDirectory(t);
  mkdirSync(join(elsewhere, 'wal'));
  mkdirSync(join(root, 'clusters'));
  symlinkSync(join(elsewhere, 'wal'), join(root, 'clusters/wal'));
  symlinkSync(join(elsewhere, 'nowhere'), join(root, 'clusters/dangling'));
  const storage = new LocalStorage(root);
  await storage.put('clusters/wal/segment', Buffer.from('x'));
  const listed = [];
  for await (const entry of storage.list('clusters')) listed.push(entry);
  assert.deepEqual(listed, [{ name: 'wal', kind: 'folder' }]);
  assert.ok(statSync(join(elsewhere, 'wal/segment')).isFile());
  assert.equal(dirname(root), dirname(elsewhere));
});

test('a file that shrinks while it is read is told as truncated', async (t) => {
  const root = temporaryDirectory(t);
  const storage = new LocalStorage(root);
  await storage.put('a', Buffer.alloc(100));
  const reader = await storage.open('a');
  writeFileSync(join(root, 'a'), 'short');
  assert.throws(
    () => reader.read(0, 100),
    (error) => hasCode(error, 'object-damaged'),
  );
  await reader.close();
});

for (const gone of ['is gone', 'is another one, as below a disk that was unmounted'] as const) {
  test(`nothing is written where the directory ${gone}`, async (t) => {
    const directory = temporaryDirectory(t);
    const root = join(directory, 'repository');
    const storage = new LocalStorage(root);
    await storage.put('a/one', Buffer.from('1'));
    const begun = await storage.create('a/begun');
    renameSync(root, join(directory, 'unmounted'));
    if (gone !== 'is gone') mkdirSync(root);
    await assert.rejects(storage.put('a/two', Buffer.from('2')), { code: 'storage', hint: /still mounted/ });
    await assert.rejects(storage.create('a/three'), { code: 'storage' });
    await assert.rejects(async () => {
      await begun.write(Buffer.from('x'));
      await begun.commit();
    });
    assert.deepEqual(
      gone === 'is gone' ? readdirSync(directory) : readdirSync(root),
      gone === 'is gone' ? ['unmounted'] : [],
    );
    rmSync(root, { recursive: true, force: true });
    renameSync(join(directory, 'unmounted'), root);
    await storage.put('a/two', Buffer.from('2'));
    assert.equal((await storage.get('a/two')).length, 1);
  });
}
