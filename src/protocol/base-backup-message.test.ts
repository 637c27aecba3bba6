import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hasCode } from '../errors/pgrecall-error.ts';
import { lsn } from '../postgres/lsn.ts';
import { decodeBackupPosition, decodeBackupTablespaces, decodeBaseBackupMessage } from './base-backup-message.ts';

const text = (value: string): Uint8Array => Uint8Array.from(Buffer.from(value));
const isDecodeError = (error: unknown): boolean => hasCode(error, 'decode');

const archive = text('n16384.tar\0/srv/größe\0');
const progress = Uint8Array.of(0x70, 0, 0, 0, 2, 0, 0, 0, 1);

describe('the messages of a base backup', () => {
  it('reads each kind', () => {
    assert.deepEqual(decodeBaseBackupMessage(archive), {
      kind: 'archive',
      name: '16384.tar',
      tablespacePath: '/srv/größe',
    });
    assert.deepEqual(decodeBaseBackupMessage(text('nbase.tar\0\0')), {
      kind: 'archive',
      name: 'base.tar',
      tablespacePath: '',
    });
    assert.deepEqual(decodeBaseBackupMessage(text('m')), { kind: 'manifest' });
    assert.deepEqual(decodeBaseBackupMessage(text('dabc')), { kind: 'data', bytes: text('abc') });
    assert.deepEqual(decodeBaseBackupMessage(progress), { kind: 'progress', doneBytes: 0x2_0000_0001n });
  });

  it('refuses what is cut off, goes on or has another letter', () => {
    for (const whole of [archive, progress]) {
      for (let length = 0; length < whole.length; length += 1) {
        assert.throws(() => decodeBaseBackupMessage(whole.subarray(0, length)), isDecodeError, `${length}`);
      }
      assert.throws(() => decodeBaseBackupMessage(Uint8Array.of(...whole, 1)), isDecodeError);
    }
    assert.throws(() => decodeBaseBackupMessage(text('mm')), isDecodeError);
    assert.throws(() => decodeBaseBackupMessage(text('w')), isDecodeError);
  });

  it('reads the position and the tablespaces', () => {
    const position = { columns: ['recptr', 'tli'], rows: [[text('1/28'), text('1')]] };
    assert.deepEqual(decodeBackupPosition(position), { lsn: lsn(0x1_0000_0028n), timeline: 1 });
    assert.throws(() => decodeBackupPosition({ ...position, rows: [[text('1/28'), text('x')]] }), isDecodeError);
    const tablespaces = {
      columns: ['spcoid', 'spclocation', 'size'],
      rows: [
        [text('16384'), text('/srv/a'), text('12')],
        [undefined, undefined, undefined],
      ],
    };
    assert.deepEqual(decodeBackupTablespaces(tablespaces), [
      { oid: 16_384, path: '/srv/a', sizeBytes: 12_288 },
      { oid: undefined, path: undefined, sizeBytes: undefined },
    ]);
  });
});
