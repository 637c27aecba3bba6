import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hasCode } from '../errors/pgrecall-error.ts';
import { describeTarget, parseTarget, type TargetOptions } from './target.ts';

const usage = (error: unknown): boolean => hasCode(error, 'usage');

describe('a recovery target on the command line', () => {
  const described: readonly (readonly [TargetOptions, string])[] = [
    [{}, 'the end of the archived WAL'],
    [{ targetImmediate: true }, 'the moment at which the backup is consistent'],
    [{ targetTime: '2026-11-23 08:38:34Z' }, 'just after 2026-11-23 08:38:34.000000+00'],
    [{ targetTime: '2026-11-23 08:38:34Z', targetExclusive: true }, 'just before 2026-11-23 08:38:34.000000+00'],
    [{ targetLsn: '16/b374d848' }, 'just after 16/B374D848'],
    [{ targetXid: '741', targetExclusive: true }, 'just before transaction 741'],
    [{ targetName: 'before the upgrade' }, 'the restore point "before the upgrade"'],
  ];
  for (const [options, expected] of described) {
    it(`${JSON.stringify(options)} is ${expected}`, () => {
      assert.equal(describeTarget(parseTarget(options)), expected);
    });
  }

  it('goes to the newest timeline and pauses, unless told otherwise', () => {
    const { timeline, action, inclusive } = parseTarget({ targetXid: '5' });
    assert.deepEqual({ timeline, action, inclusive }, { timeline: 'latest', action: 'pause', inclusive: true });
    assert.equal(parseTarget({ targetTimeline: 'current' }).timeline, 'current');
    assert.equal(parseTarget({ targetTimeline: '3' }).timeline, 3);
    assert.equal(parseTarget({ targetTimeline: '0x1F' }).timeline, 31);
    assert.equal(parseTarget({ targetAction: 'shutdown' }).action, 'shutdown');
  });

  it('takes a transaction with its epoch, as PostgreSQL prints it', () => {
    assert.deepEqual(parseTarget({ targetXid: '4294967301' }).target, { kind: 'xid', xid: 5 });
  });

  it('takes a restore point of up to 63 bytes', () => {
    assert.deepEqual(parseTarget({ targetName: 'é'.repeat(31) }).target, { kind: 'name', name: 'é'.repeat(31) });
    assert.throws(() => parseTarget({ targetName: 'é'.repeat(32) }), usage);
    assert.throws(() => parseTarget({ targetName: '' }), usage);
  });

  const refused: readonly TargetOptions[] = [
    { targetTime: 'tomorrow' },
    { targetLsn: 'B374D848' },
    { targetLsn: '16/B374D8480' },
    { targetXid: '0x2e5' },
    { targetXid: '-1' },
    { targetXid: '' },
    { targetTimeline: 'newest' },
    { targetTimeline: '0' },
    { targetTimeline: '4294967296' },
    { targetAction: 'stop' },
    { targetExclusive: true },
    { targetExclusive: true, targetName: 'x' },
    { targetExclusive: true, targetImmediate: true },
    { targetXid: '5', targetLsn: '0/5' },
    { targetTime: '2026-11-23 08:38:34Z', targetImmediate: true },
  ];
  for (const options of refused) {
    it(`refuses ${JSON.stringify(options)}`, () => {
      assert.throws(() => parseTarget(options), usage);
    });
  }
});
