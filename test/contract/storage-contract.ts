import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../../src/errors/pgrecall-error.ts';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import type { Storage } from '../../src/storage/storage.ts';

export interface StorageUnderTest extends AsyncDisposable {
  readonly storage: Storage;
}

const bytes = (text: string): Buffer => Buffer.from(text, 'utf8');

const fails = (code: ErrorCode) => (error: unknown) => {
  assert.ok(hasCode(error, code), `expected ${code}, got ${String(error)}`);
  return true;
};

async function names(storage: Storage, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, kind } of storage.list(prefix)) found.push(kind === 'folder' ? `${name}/` : name);
  return found;
}

/** What every storage must do, whatever lies behind it. A storage joins by calling this with a way to make an empty one. */
export function storageContract(name: string, make: () => Promise<StorageUnderTest>): void {
  const check = (title: string, body: (storage: Storage) => Promise<void>): void => {
    test(`${name}: ${title}`, async () => {
      await using made = await make();
      await body(made.storage);
    });
  };

  check('an object that was put is read back whole', async (storage) => {
    await storage.put('a/b/c', bytes('hello'));
    assert.equal(Buffer.from(await storage.get('a/b/c')).toString(), 'hello');
    assert.deepEqual(await storage.stat('a/b/c'), { sizeBytes: 5 });
  });

  check('an object of no bytes is an object', async (storage) => {
    await storage.put('empty', new Uint8Array(0));
    assert.equal((await storage.get('empty')).length, 0);
    assert.deepEqual(await storage.stat('empty'), { sizeBytes: 0 });
  });

  check('an object is not overwritten by accident', async (storage) => {
    await storage.put('a', bytes('first'));
    await assert.rejects(storage.put('a', bytes('second')), fails('object-exists'));
    assert.equal(Buffer.from(await storage.get('a')).toString(), 'first');
    assert.deepEqual(await names(storage, ''), ['a']);
  });

  check('an object is replaced on purpose', async (storage) => {
    await storage.put('a', bytes('first, and longer'));
    await storage.put('a', bytes('second'), { replace: true });
    assert.equal(Buffer.from(await storage.get('a')).toString(), 'second');
    await storage.put('b', bytes('new'), { replace: true });
    assert.equal(Buffer.from(await storage.get('b')).toString(), 'new');
  });

  check('of two who create the same object at once, one wins', async (storage) => {
    const attempts = Array.from({ length: 8 }, async (_, index) => storage.put('one', bytes(`${index}`)));
    const results = await Promise.allSettled(attempts);
    const winners = results.flatMap((result, index) => (result.status === 'fulfilled' ? [index] : []));
    assert.equal(winners.length, 1);
    assert.equal(Buffer.from(await storage.get('one')).toString(), String(winners[0]));
  });

  check('a streamed object appears when it is committed, not before', async (storage) => {
    const writer = await storage.create('streamed/object');
    await writer.write(bytes('one '));
    assert.equal(await storage.stat('streamed/object'), undefined);
    await assert.rejects(storage.get('streamed/object'), fails('object-missing'));
    assert.deepEqual(await names(storage, 'streamed'), []);
    await writer.write(bytes('two'));
    await writer.commit();
    assert.equal(Buffer.from(await storage.get('streamed/object')).toString(), 'one two');
  });

  check('a writer is done with the bytes when write returns', async (storage) => {
    const writer = await storage.create('a');
    const buffer = bytes('first.');
    await writer.write(buffer);
    buffer.write('second');
    await writer.write(buffer);
    await writer.commit();
    assert.equal(Buffer.from(await storage.get('a')).toString(), 'first.second');
  });

  check('what was written reads back before the commit, where that is offered', async (storage) => {
    const writer = await storage.create('a');
    await writer.write(bytes('abcdef'));
    const reader = await writer.readBack?.();
    if (reader) {
      assert.equal(reader.sizeBytes, 6);
      assert.equal(Buffer.from(await reader.read(2, 3)).toString(), 'cde');
      await reader.close();
    }
    await writer.write(bytes('ghi'));
    await writer.commit();
    assert.equal(Buffer.from(await storage.get('a')).toString(), 'abcdefghi');
  });

  check('an aborted object never was', async (storage) => {
    const writer = await storage.create('a/b');
    await writer.write(bytes('lost'));
    await writer.abort();
    await writer.abort();
    assert.equal(await storage.stat('a/b'), undefined);
    assert.deepEqual(await names(storage, 'a'), []);
  });

  check('abort after commit does nothing', async (storage) => {
    const writer = await storage.create('a');
    await writer.write(bytes('kept'));
    await writer.commit();
    await writer.abort();
    assert.equal(Buffer.from(await storage.get('a')).toString(), 'kept');
  });

  check('a commit does not overwrite what came in between', async (storage) => {
    const writer = await storage.create('a');
    await writer.write(bytes('late'));
    await storage.put('a', bytes('early'));
    await assert.rejects(writer.commit(), fails('object-exists'));
    await writer.abort();
    assert.equal(Buffer.from(await storage.get('a')).toString(), 'early');
    const replacing = await storage.create('a', { replace: true });
    await replacing.write(bytes('latest'));
    await replacing.commit();
    assert.equal(Buffer.from(await storage.get('a')).toString(), 'latest');
  });

  check('ranges are read exactly, and never past the end', async (storage) => {
    await storage.put('a', bytes('0123456789'));
    const reader = await storage.open('a');
    assert.equal(reader.sizeBytes, 10);
    assert.equal(Buffer.from(await reader.read(3, 4)).toString(), '3456');
    assert.equal((await reader.read(10, 0)).length, 0);
    await assert.rejects(async () => reader.read(8, 3), fails('object-damaged'));
    await reader.close();
  });

  check('a reader keeps what it opened while the object is replaced or deleted', async (storage) => {
    await storage.put('a', bytes('old'));
    const reader = await storage.open('a');
    await storage.put('a', bytes('new'), { replace: true });
    await storage.delete('a');
    assert.equal(Buffer.from(await reader.read(0, 3)).toString(), 'old');
    await reader.close();
  });

  check('an object that is not there is missing', async (storage) => {
    await assert.rejects(storage.get('none'), fails('object-missing'));
    await assert.rejects(storage.open('none'), fails('object-missing'));
    assert.equal(await storage.stat('none'), undefined);
    await storage.put('a', bytes('x'));
    await assert.rejects(storage.get('a/b'), fails('object-missing'));
    await storage.put('folder/x', bytes('x'));
    await assert.rejects(storage.get('folder'), fails('object-missing'));
    assert.equal(await storage.stat('folder'), undefined);
  });

  check('an object over the limit is not read', async (storage) => {
    await storage.put('a', bytes('0123456789'));
    await assert.rejects(storage.get('a', 9), fails('object-damaged'));
    assert.equal((await storage.get('a', 10)).length, 10);
  });

  check('folders are listed in byte order, objects and folders told apart', async (storage) => {
    for (const key of ['x/b', 'x/a/1', 'x/a/2', 'x/B', 'x/a-b', 'x/a.b', 'y', 'x/_'])
      await storage.put(key, bytes(key));
    assert.deepEqual(await names(storage, ''), ['x/', 'y']);
    assert.deepEqual(await names(storage, 'x'), ['B', '_', 'a/', 'a-b', 'a.b', 'b']);
    assert.deepEqual(await names(storage, 'x/a'), ['1', '2']);
    assert.deepEqual(await names(storage, 'none'), []);
  });

  check('a deleted object is gone, and deleting it again is no error', async (storage) => {
    await storage.put('a/b/c', bytes('x'));
    await storage.put('a/d', bytes('x'));
    await storage.delete('a/b/c');
    await storage.delete('a/b/c');
    await storage.delete('never/was');
    assert.deepEqual(await names(storage, 'a'), ['d']);
    await storage.put('a/b/c', bytes('again'));
    assert.equal(Buffer.from(await storage.get('a/b/c')).toString(), 'again');
  });

  for (const key of ['', '/', '/a', 'a/', 'a//b', '.', '..', 'a/../b', './a', 'a b', 'a\0b', 'ä', 'a~b', 'a\\b']) {
    check(`the key ${JSON.stringify(key)} is refused`, async (storage) => {
      await assert.rejects(storage.put(key, bytes('x')), fails('bug'));
      await assert.rejects(storage.create(key), fails('bug'));
      await assert.rejects(storage.get(key), fails('bug'));
      await assert.rejects(storage.open(key), fails('bug'));
      await assert.rejects(storage.stat(key), fails('bug'));
      await assert.rejects(storage.delete(key), fails('bug'));
      if (key !== '') await assert.rejects(names(storage, key), fails('bug'));
    });
  }
}
