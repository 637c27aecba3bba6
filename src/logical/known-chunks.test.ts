import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { KnownChunks } from './known-chunks.ts';

/** Digests of few values, so that many begin alike. */
const digests = fc.uniqueArray(
  fc.array(fc.constantFrom(0, 1, 255), { minLength: 16, maxLength: 16 }).map((values) => Buffer.from(values)),
  { maxLength: 200, selector: (digest) => digest.toString('hex') },
);

describe('the chunks that earlier dumps have stored', () => {
  it('are found by their digests, in the thread that added them and in others, and nothing else is', () => {
    fc.assert(
      fc.property(digests, digests, (added, others) => {
        const known = KnownChunks.withRoomFor(added.length);
        const numbers = new Map<string, number>();
        for (const [number, digest] of added.entries()) {
          assert.ok(known.add(digest, 0, number));
          numbers.set(digest.toString('hex'), number);
        }
        const elsewhere = KnownChunks.over(known.memory);
        for (const digest of [...added, ...others]) {
          const expected = numbers.get(digest.toString('hex')) ?? -1;
          const within = Buffer.concat([Buffer.from([7, 7, 7]), digest]);
          assert.equal(known.find(digest, 0), expected);
          assert.equal(elsewhere.find(within, 3), expected);
        }
      }),
    );
  });

  it('keep the first number that a digest was given', () => {
    const known = KnownChunks.withRoomFor(2);
    assert.ok(known.add(Buffer.alloc(16, 1), 0, 5));
    assert.ok(!known.add(Buffer.alloc(16, 1), 0, 6));
    assert.equal(known.find(Buffer.alloc(16, 1), 0), 5);
  });

  it('are no more than there is room for: others are stored anew, and the search for them ends', () => {
    const known = KnownChunks.withRoomFor(1);
    const digest = (number: number): Buffer => {
      const bytes = Buffer.alloc(16);
      bytes.writeUInt32LE(number);
      return bytes;
    };
    const added = Array.from({ length: 100 }, (_, number) => known.add(digest(number), 0, number));
    const count = added.filter(Boolean).length;
    assert.ok(count >= 1 && count < 16, `${count}`);
    for (let number = 0; number < 100; number += 1)
      assert.equal(known.find(digest(number), 0), added[number] ? number : -1);
  });
});
