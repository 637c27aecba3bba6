import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { crc32c } from '../bytes/crc32c.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { decodeControlFile } from './control-file.ts';

/*
 * The first 296 bytes of global/pg_control (the rest of its 8192 are zeros) right after
 * initdb -D DIR -k -U postgres, of each version:
 * xxd -p -l 296 DIR/global/pg_control
 */
const real: readonly (readonly [number, string])[] = [
  [
    14,
    'd9e126a5a1a8066b140500002de90b0c0100000000000000a2a8066b0000000070319401000000007031940100000000' +
      '01000000010000000100000000000000dd02000000000000803500000100000000000000d60200000100000001000000' +
      '0100000000000000a2a8066b0000000000000000000000000000000000000000e8030000000000000000000000000000' +
      '00000000000000000000000000000000000000000000000000000000010000000000000064000000080000000a000000' +
      '000000004000000000000000080000000000000087d63241002000000000020000200000000000014000000020000000' +
      'cc0700000008000001000000010000003547f786e5672f95547dfa7b520035207586ee6b9bdc25a5c495a341acf600ff' +
      '5348227600000000',
  ],
  [
    15,
    '84d22235a4a8066b1405000025770d0c0100000000000000a4a8066b00000000b029750100000000b029750100000000' +
      '01000000010000000100000000000000d402000000000000053500000100000000000000cc0200000100000001000000' +
      '0100000000000000a4a8066b0000000000000000000000000000000000000000e8030000000000000000000000000000' +
      '00000000000000000000000000000000000000000000000000000000010000000000000064000000080000000a000000' +
      '000000004000000000000000080000000000000087d63241002000000000020000200000000000014000000020000000' +
      'cc07000000080000010000000100000044d41e70c1e2e402cc8b9b0b4794c6f7988be7da4b5ee8a2cd9030f0caf77cdb' +
      'a8ffa63200000000',
  ],
  [
    16,
    'e8b10854a2a8066b14050000fff50e0c0100000000000000a2a8066b00000000c80f720100000000c80f720100000000' +
      '01000000010000000100000000000000da02000000000000b43400000100000000000000d20200000100000001000000' +
      '0100000000000000a2a8066b0000000000000000000000000000000000000000e8030000000000000000000000000000' +
      '00000000000000000000000000000000000000000000000000000000010000000000000064000000080000000a000000' +
      '000000004000000000000000080000000000000087d63241002000000000020000200000000000014000000020000000' +
      'cc070000000800000100000001000000f08ad12e39d77b28abd281e1d23f84476d73a4ee769b32b82ddd96fc907eaadb' +
      '6aa5073500000000',
  ],
  [
    17,
    'f791bed3a2a8066ba40600008979100c0100000000000000a3a8066b00000000d818720100000000d818720100000000' +
      '01000000010000000100000001000000e202000000000000b93400000100000000000000da0200000100000001000000' +
      '0100000000000000a3a8066b0000000000000000000000000000000000000000e8030000000000000000000000000000' +
      '00000000000000000000000000000000000000000000000000000000010000000000000064000000080000000a000000' +
      '000000004000000000000000080000000000000087d63241002000000000020000200000000000014000000020000000' +
      'cc070000000800000100000001000000fd76be226f8566bf33d2ad008057fbf5d91e2876899c5216cd6b9f5949e285aa' +
      'dee1083100000000',
  ],
  [
    18,
    '0622346da3a8066b080700003300120c0100000000000000a4a8066b0000000090b274010000000090b2740100000000' +
      '01000000010000000100000001000000f002000000000000c33400000100000000000000e80200000100000001000000' +
      '0100000000000000a4a8066b0000000000000000000000000000000000000000e8030000000000000000000000000000' +
      '00000000000000000000000000000000000000000000000000000000010000000000000064000000080000000a000000' +
      '000000004000000000000000080000000000000087d63241002000000000020000200000000000014000000020000000' +
      'cc070000000800000100000001000000012f15ff6e1e37b46868cdb382ee45ee30873d77f8526cb528374f30d75c67f2' +
      'a70000006c846223',
  ],
];

/* What pg_controldata DIR says of them, in the same order. */
const printed: readonly (readonly [
  systemIdentifier: string,
  controlVersion: number,
  catalogVersion: number,
  checkpointLsn: bigint,
  nextXid: bigint,
  modifiedAt: bigint,
])[] = [
  ['7712036824132542937', 1300, 202107181, 0x194_3170n, 733n, 1_795_598_498n],
  ['7712036835138130564', 1300, 202209061, 0x175_29b0n, 724n, 1_795_598_500n],
  ['7712036827066577384', 1300, 202307071, 0x172_0fc8n, 730n, 1_795_598_498n],
  ['7712036829209203191', 1700, 202406281, 0x172_18d8n, 738n, 1_795_598_499n],
  ['7712036831783821830', 1800, 202506291, 0x174_b290n, 752n, 1_795_598_500n],
];

const crcOffsetOf = (major: number): number => (major === 18 ? 292 : 288);

function bytesOf(index: number): Buffer {
  const bytes = Buffer.alloc(8192);
  bytes.write(real[index]?.[1] ?? '', 'hex');
  return bytes;
}

/** A change that a server would have made: the CRC fits. */
function changed(index: number, change: (bytes: Buffer) => void): Buffer {
  const bytes = bytesOf(index);
  change(bytes);
  const crcOffset = crcOffsetOf(real[index]?.[0] ?? 0);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, crcOffset)), crcOffset);
  return bytes;
}

describe('pg_control', () => {
  for (const [index, [major]] of real.entries()) {
    it(`of a PostgreSQL ${major} server right after initdb is read`, () => {
      const expected = printed[index];
      assert.ok(expected);
      const [systemIdentifier, controlVersion, catalogVersion, checkpointLsn, nextXid, modifiedAt] = expected;
      assert.deepEqual(decodeControlFile(bytesOf(index)), {
        systemIdentifier,
        controlVersion,
        catalogVersion,
        checkpointLsn,
        nextXid,
        modifiedAt,
        postgresMajor: major,
        state: 'shut down',
        redoLsn: checkpointLsn,
        timeline: 1,
        previousTimeline: 1,
        checkpointTime: modifiedAt,
        minRecoveryLsn: 0n,
        minRecoveryTimeline: 0,
        backupStartLsn: 0n,
        backupEndLsn: 0n,
        backupEndRequired: false,
        walLevel: 'replica',
        blockBytes: 8192,
        relationSegmentBlocks: 131_072,
        walBlockBytes: 8192,
        segmentBytes: 16_777_216,
        dataChecksums: true,
      });
    });

    it(`of ${major} is refused wherever it is cut`, () => {
      const whole = bytesOf(index);
      const end = crcOffsetOf(major) + 4;
      for (let cut = 0; cut < end; cut += 1) {
        assert.throws(() => decodeControlFile(whole.subarray(0, cut)), { code: 'decode' }, `cut at ${cut}`);
      }
      // what follows the CRC is padding
      assert.equal(decodeControlFile(whole.subarray(0, end)).postgresMajor, major);
    });

    it(`of ${major} is refused wherever a bit flips`, () => {
      const end = crcOffsetOf(major) + 4;
      for (let bit = 0; bit < end * 8; bit += 1) {
        const bytes = bytesOf(index);
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        // a changed version is no longer one that we could check
        const code = bit >> 6 === 1 && (bit & 63) < 32 ? 'postgres-version' : 'decode';
        assert.throws(() => decodeControlFile(bytes), { code }, `bit ${bit & 7} of byte ${bit >> 3}`);
      }
    });
  }

  it('of a standby tells how far it must recover', () => {
    const decoded = decodeControlFile(
      changed(1, (bytes) => {
        bytes.writeUInt32LE(5, 16);
        bytes.writeUInt32LE(3, 48);
        bytes.writeUInt32LE(2, 52);
        bytes.writeBigUInt64LE(0x7_0000_02d5n, 64);
        bytes.writeBigUInt64LE(0x1_0300_0060n, 136);
        bytes.writeUInt32LE(3, 144);
        bytes.writeBigUInt64LE(0x1_0200_0028n, 152);
        bytes.writeBigUInt64LE(0x1_0200_0100n, 160);
        bytes[168] = 1;
        bytes.writeUInt32LE(2, 172);
        bytes.writeUInt32LE(0, 252);
      }),
    );
    const { state, timeline, previousTimeline, nextXid, minRecoveryLsn, minRecoveryTimeline } = decoded;
    assert.deepEqual(
      [state, timeline, previousTimeline, nextXid, minRecoveryLsn, minRecoveryTimeline],
      ['in archive recovery', 3, 2, 0x7_0000_02d5n, 0x1_0300_0060n, 3],
    );
    const { backupStartLsn, backupEndLsn, backupEndRequired, walLevel, dataChecksums } = decoded;
    assert.deepEqual(
      [backupStartLsn, backupEndLsn, backupEndRequired, walLevel, dataChecksums],
      [0x1_0200_0028n, 0x1_0200_0100n, true, 'logical', false],
    );
  });

  it('has every state by its name', () => {
    const states = [0, 1, 2, 3, 4, 5, 6].map(
      (state) => decodeControlFile(changed(4, (bytes) => bytes.writeUInt32LE(state, 16))).state,
    );
    assert.deepEqual(states, [
      'starting up',
      'shut down',
      'shut down in recovery',
      'shutting down',
      'in crash recovery',
      'in archive recovery',
      'in production',
    ]);
  });

  it('is refused where its CRC fits but its content cannot be', () => {
    const changes: [string, (bytes: Buffer) => void][] = [
      ['state 7', (bytes) => bytes.writeUInt32LE(7, 16)],
      ['timeline 0', (bytes) => bytes.writeUInt32LE(0, 48)],
      ['previous timeline 0', (bytes) => bytes.writeUInt32LE(0, 52)],
      ['WAL segments of 0 bytes', (bytes) => bytes.writeUInt32LE(0, 228)],
      ['WAL segments of 3 MiB', (bytes) => bytes.writeUInt32LE(3_145_728, 228)],
    ];
    for (const [what, change] of changes) {
      for (const index of real.keys()) {
        assert.throws(() => decodeControlFile(changed(index, change)), { code: 'decode' }, what);
      }
    }
  });

  it('of a release that pgrecall does not know is refused by its version', () => {
    for (const [what, change] of [
      ['13', (bytes: Buffer) => bytes.writeUInt32LE(202_007_201, 12)],
      ['a beta of 18', (bytes: Buffer) => bytes.writeUInt32LE(202_505_071, 12)],
    ] as const) {
      assert.throws(() => decodeControlFile(changed(2, change)), { code: 'postgres-version' }, what);
    }
    const newer = bytesOf(4);
    newer.writeUInt32LE(1900, 8);
    assert.throws(() => decodeControlFile(newer), { code: 'postgres-version', message: /version 1900/ });
    const swapped = bytesOf(4);
    swapped.subarray(8, 12).swap32();
    assert.throws(() => decodeControlFile(swapped), { code: 'postgres-version', message: /another byte order/ });
  });

  it('is never read into anything else, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(real.length - 1), (bytes, index) => {
        for (const input of [bytes, changed(index, (copy) => copy.set(bytes.subarray(0, 272), 16))]) {
          try {
            decodeControlFile(input);
          } catch (error) {
            assert.ok(error instanceof PgrecallError && ['decode', 'postgres-version'].includes(error.code));
          }
        }
      }),
    );
  });
});
