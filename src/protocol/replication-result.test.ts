import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hasCode } from '../errors/pgrecall-error.ts';
import { lsn } from '../postgres/lsn.ts';
import { timeline } from '../postgres/timeline.ts';
import {
  checkSlotName,
  createPhysicalSlot,
  readReplicationSlot,
  show,
  slotNameFor,
  startReplication,
  timelineHistory,
} from './replication-command.ts';
import {
  decodeNextTimeline,
  decodeSetting,
  decodeSlotState,
  decodeSystemIdentity,
  decodeTimelineHistory,
  parseSegmentSize,
  type ResultSet,
} from './replication-result.ts';

const result = (row: Readonly<Record<string, string | null>>): ResultSet => ({
  columns: Object.keys(row),
  rows: [Object.values(row).map((value) => (value === null ? undefined : Buffer.from(value)))],
});

const isDecodeError = (error: unknown): boolean => hasCode(error, 'decode');

describe('commands of a replication connection', () => {
  it('says where to begin, on which timeline, through which slot', () => {
    const startLsn = lsn(0x16_0200_0000n);
    assert.equal(
      startReplication({ slot: 'pgrecall_main', startLsn, timeline: timeline(3) }),
      'START_REPLICATION SLOT "pgrecall_main" PHYSICAL 16/2000000 TIMELINE 3',
    );
    assert.equal(
      startReplication({ slot: undefined, startLsn, timeline: timeline(1) }),
      'START_REPLICATION PHYSICAL 16/2000000 TIMELINE 1',
    );
  });

  it('makes a slot that keeps WAL from the start, reads it, asks for history and settings', () => {
    assert.equal(createPhysicalSlot('a'), 'CREATE_REPLICATION_SLOT "a" PHYSICAL RESERVE_WAL');
    assert.equal(readReplicationSlot('a'), 'READ_REPLICATION_SLOT "a"');
    assert.equal(timelineHistory(timeline(17)), 'TIMELINE_HISTORY 17');
    assert.equal(show('wal_segment_size'), 'SHOW "wal_segment_size"');
  });

  it('refuses names that the server would refuse, and whatever would leave the quotes', () => {
    for (const name of ['', 'Slot', 'a-b', 'a"; DROP', 'a'.repeat(64), 'größe']) {
      assert.throws(
        () => checkSlotName(name),
        (error) => hasCode(error, 'usage'),
        name,
      );
    }
  });

  it('makes a slot’s name of any cluster’s', () => {
    assert.equal(slotNameFor('main'), 'pgrecall_main');
    assert.equal(slotNameFor('Sales-EU.1'), 'pgrecall_sales_eu_1');
    assert.equal(slotNameFor('x'.repeat(80)).length, 63);
  });
});

describe('answers to the commands', () => {
  const identity = { systemid: '7711292097954040075', timeline: '2', xlogpos: '0/7EFE98', dbname: null };

  it('knows who the server is', () => {
    assert.deepEqual(decodeSystemIdentity([result(identity)]), {
      systemIdentifier: '7711292097954040075',
      timeline: 2,
      positionLsn: lsn(0x7e_fe98n),
    });
  });

  it('refuses an identity that is none', () => {
    const { systemid: _, ...without } = identity;
    for (const row of [
      { ...identity, timeline: '0' },
      { ...identity, xlogpos: 'here' },
      { ...identity, systemid: null },
      { ...identity, systemid: 'x' },
      without,
    ]) {
      assert.throws(() => decodeSystemIdentity([result(row)]), isDecodeError, JSON.stringify(row));
    }
    assert.throws(() => decodeSystemIdentity([]), isDecodeError);
    assert.throws(() => decodeSystemIdentity([{ columns: ['systemid'], rows: [] }]), isDecodeError);
  });

  it('keeps a history file’s bytes as they are', () => {
    const content = Uint8Array.of(0x31, 0x09, 0xff, 0x0a);
    const decoded = decodeTimelineHistory([
      { columns: ['filename', 'content'], rows: [[Buffer.from('00000002.history'), content]] },
    ]);
    assert.deepEqual(decoded, { name: '00000002.history', content });
  });

  it('tells a slot that is absent, new, in use and logical', () => {
    const slot = (type: string | null, restart: string | null, tli: string | null): unknown =>
      decodeSlotState([result({ slot_type: type, restart_lsn: restart, restart_tli: tli })]);
    assert.deepEqual(slot(null, null, null), { kind: 'absent' });
    assert.deepEqual(slot('physical', null, null), {
      kind: 'physical',
      restartLsn: undefined,
      restartTimeline: undefined,
    });
    assert.deepEqual(slot('physical', '0/84B2E0', '1'), {
      kind: 'physical',
      restartLsn: lsn(0x84_b2e0n),
      restartTimeline: 1,
    });
    assert.deepEqual(slot('logical', '0/1', '1'), { kind: 'logical' });
  });

  it('learns where WAL goes on, and that it goes on nowhere when we ended the stream', () => {
    const next = result({ next_tli: '2', next_tli_startpos: '0/9000058' });
    assert.deepEqual(decodeNextTimeline([next]), { timeline: 2, switchLsn: lsn(0x900_0058n) });
    assert.equal(decodeNextTimeline([]), undefined);
  });

  it('reads settings and segment sizes', () => {
    assert.equal(decodeSetting([result({ wal_segment_size: '16MB' })]), '16MB');
    assert.throws(() => decodeSetting([]), isDecodeError);
    assert.deepEqual(
      ['1MB', '16MB', '1GB', '512kB', '8192'].map(parseSegmentSize),
      [1_048_576, 16_777_216, 1_073_741_824, 524_288, 8192],
    );
    for (const text of ['', 'MB', '1 MB', '-1MB', '1TBx']) assert.throws(() => parseSegmentSize(text), isDecodeError);
  });
});
