import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { giveToServer } from '../../test/support/server-user.ts';
import { actingAs, becomeOwnerOf, canActAs, giveDirectoryTo, nameOf, ownerOf } from './privileges.ts';

const directory = mkdtempSync(join(tmpdir(), 'pgrecall-privileges-'));
chmodSync(directory, 0o711);
after(() => rmSync(directory, { recursive: true }));
const skip = process.getuid?.() === 0 ? false : 'only root can act as another user';

describe('as root', { skip }, () => {
  const theirs = join(directory, 'theirs');
  mkdirSync(theirs);
  giveToServer(theirs);
  const user = ownerOf(theirs);

  it('acts as another user and is root again, its groups and its home with it', async () => {
    const before = { groups: process.getgroups?.(), gid: process.getegid?.(), home: process.env['HOME'] };
    const path = join(directory, 'secret');
    writeFileSync(path, '', { mode: 0o600 });
    const seen = await actingAs(user, async () => {
      await Promise.resolve();
      return {
        uid: process.geteuid?.(),
        gid: process.getegid?.(),
        home: process.env['HOME'],
        name: userInfo().username,
      };
    });
    assert.deepEqual(seen, { ...user, home: seen.home, name: nameOf(user) });
    assert.notEqual(seen.home, before.home);
    await assert.rejects(
      actingAs(user, async () => Promise.resolve(writeFileSync(path, 'x'))),
      /EACCES/,
    );
    assert.equal(process.geteuid?.(), 0, 'also where it failed');
    assert.deepEqual({ groups: process.getgroups?.(), gid: process.getegid?.(), home: process.env['HOME'] }, before);
  });

  it('does not become for good whom it acts as for now', async () => {
    await actingAs(user, async () => Promise.resolve(becomeOwnerOf(theirs)));
    assert.deepEqual([process.getuid?.(), process.geteuid?.()], [0, 0]);
  });

  it('makes a directory for another user below one that this user cannot write to', () => {
    const path = join(directory, 'a', 'b', 'repository');
    giveDirectoryTo(path, user);
    assert.deepEqual(ownerOf(path), user);
    assert.equal(statSync(path).mode & 0o777, 0o700);
    assert.equal(statSync(join(directory, 'a')).mode & 0o777, 0o755, 'the way to it is open');
    assert.deepEqual(ownerOf(join(path, 'not', 'there')), user, 'what is not there has its ancestor’s owner');
  });

  it('stays root for what root owns', async () => {
    const root = { uid: 0, gid: 0 };
    assert.equal(canActAs(root), false);
    assert.equal(await actingAs(root, async () => Promise.resolve(process.geteuid?.())), 0);
    assert.equal(await actingAs(undefined, async () => Promise.resolve(process.geteuid?.())), 0);
    assert.equal(nameOf(root), 'root');
    assert.equal(nameOf({ uid: 61_234, gid: 0 }), 'user 61234');
  });
});
