import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../errors/pgrecall-error.ts';
import { decodeVerified, digestOf, encodeVerified, mergeVerified, type FoundGood } from './verified.ts';

const digest = fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 16, maxLength: 16 });

const thing: fc.Arbitrary<FoundGood> = fc.record(
  { atSeconds: fc.nat({ max: 2 ** 40 }), digests: fc.array(digest, { maxLength: 5 }).map((all) => new Set(all)) },
  { noNullPrototype: true },
);

const name = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 20 }).filter((text) => text.isWellFormed()),
  fc.constantFrom('packs/00', 'packs/01', 'packs/', 'wal/1/00000001/00000000', 'wal/1/00000001/00000001'),
);

const verified = fc.array(fc.tuple(name, thing), { maxLength: 12 }).map((all) => new Map(all));

describe('what was verified', () => {
  it('comes back as it went in', () => {
    fc.assert(
      fc.property(verified, (things) => {
        assert.deepEqual(decodeVerified(encodeVerified(things)), things);
      }),
    );
  });

  it('is damaged wherever it is cut, and has no byte too many', () => {
    const things = new Map([
      ['packs/00', { atSeconds: 1_800_000_000, digests: new Set([digestOf('a')]) }],
      ['packs/01', { atSeconds: 1_800_000_001, digests: new Set([digestOf('b'), digestOf('c')]) }],
    ]);
    const bytes = encodeVerified(things);
    for (let length = 0; length < bytes.length; length += 1) {
      assert.throws(
        () => decodeVerified(bytes.subarray(0, length)),
        (error) => hasCode(error, 'decode'),
      );
    }
    assert.throws(
      () => decodeVerified(Buffer.concat([bytes, Buffer.alloc(1)])),
      (error) => hasCode(error, 'decode'),
    );
  });

  it('whatever is wrong with it, ends in a decoding error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          decodeVerified(bytes);
        } catch (error) {
          assert.ok(hasCode(error, 'decode'), String(error));
        }
      }),
    );
  });

  it('by two at the same time is what either found last', () => {
    fc.assert(
      fc.property(verified, verified, (a, b) => {
        const merged = mergeVerified(a, b);
        assert.deepEqual(new Set(merged.keys()), new Set([...a.keys(), ...b.keys()]));
        for (const [key, { atSeconds }] of merged) {
          assert.equal(atSeconds, Math.max(a.get(key)?.atSeconds ?? 0, b.get(key)?.atSeconds ?? 0));
        }
      }),
    );
  });

  it('is told apart by every part of its name and size', () => {
    const all = [digestOf('a', 1), digestOf('a', 2), digestOf('b', 1), digestOf('a1'), digestOf('a', '1'), digestOf()];
    assert.equal(new Set(all).size, all.length);
  });
});
