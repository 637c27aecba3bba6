import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deflateSync, inflateSync } from 'node:zlib';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { checkOf } from './import-check.ts';
import type { ImportedFacts } from './import-contents.ts';
import type { ContentKind } from './import-format.ts';

/* Archives are built byte by byte here, as ReadHead, ReadToc and _PrintTocData of pg_dump read them. */

const int = (value: number): Buffer => {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt8(value < 0 ? 1 : 0);
  bytes.writeUInt32LE(Math.abs(value), 1);
  return bytes;
};
const text = (value: string | undefined): Buffer =>
  value === undefined ? int(-1) : Buffer.concat([int(Buffer.byteLength(value)), Buffer.from(value)]);

interface Entry {
  readonly id: number;
  readonly kind: string;
  readonly tag: string;
  readonly data?: true;
}

const section = (kind: string): number => (kind === 'TABLE DATA' || kind === 'BLOBS' ? 3 : 2);

function head(entries: readonly Entry[], compression: number): Buffer {
  return Buffer.concat([
    Buffer.from([...Buffer.from('PGDMP'), 1, 14, 0, 4, 8, 1]),
    int(compression),
    ...[34, 38, 8, 23, 10, 126, 0].map((part) => int(part)),
    ...['shop', '15.18 (Debian)', '15.18'].map((part) => text(part)),
    int(entries.length),
    ...entries.flatMap(({ id, kind, tag, data }) => [
      ...[int(id), int(data ? 1 : 0), text('0'), text('0'), text(tag), text(kind), int(section(kind))],
      ...[text('definition'), text(''), text(kind === 'TABLE DATA' ? 'COPY film FROM stdin;\n' : undefined)],
      ...[text('public'), text(''), text('heap'), text('clerk'), text('false'), text(undefined)],
      Buffer.from([data ? 1 : 3, 0, 0, 0, 0, 0, 0, 0, 0]),
    ]),
  ]);
}

const stream = (content: Uint8Array, piece = content.length): Buffer => {
  const pieces: Buffer[] = [];
  for (let at = 0; at < content.length; at += piece) {
    const part = content.subarray(at, at + piece);
    pieces.push(int(part.length), Buffer.from(part));
  }
  return Buffer.concat([...pieces, int(0)]);
};
const rows = (id: number, content: Uint8Array, piece?: number): Buffer =>
  Buffer.concat([Buffer.from([1]), int(id), stream(content, piece)]);
const objects = (id: number, ...contents: readonly Uint8Array[]): Buffer =>
  Buffer.concat([
    Buffer.from([3]),
    int(id),
    ...contents.flatMap((content, at) => [int(16_400 + at), stream(content)]),
    int(0),
  ]);

const entries: readonly Entry[] = [
  { id: 1, kind: 'TABLE', tag: 'film' },
  { id: 2, kind: 'TABLE DATA', tag: 'film', data: true },
  { id: 3, kind: 'TABLE DATA', tag: 'actor', data: true },
  { id: 4, kind: 'BLOBS', tag: 'BLOBS', data: true },
];
const film = Buffer.from('1\tAcademy Dinosaur\n2\tAce Goldfinger\n\\.\n\n\n');
const none = Buffer.from('\\.\n\n\n');
const archive = Buffer.concat([
  head(entries, 0),
  rows(2, film, 10),
  objects(4, Buffer.from('large'), Buffer.alloc(0)),
  rows(3, none),
]);

async function look(kind: ContentKind, ...pieces: readonly Uint8Array[]): Promise<ImportedFacts> {
  const check = checkOf(kind);
  for (const piece of pieces) await check.push(piece);
  return check.end();
}

async function refused(kind: ContentKind, ...pieces: readonly Uint8Array[]): Promise<PgrecallError> {
  try {
    await look(kind, ...pieces);
  } catch (error) {
    assert.ok(error instanceof PgrecallError, String(error));
    assert.equal(error.code, 'dump-contents');
    return error;
  }
  throw new Error('it was taken');
}

function isSame(packed: Uint8Array): boolean {
  try {
    return inflateSync(packed).equals(film);
  } catch {
    return false;
  }
}

describe('a custom archive', () => {
  it('tells what it is of', async () => {
    assert.deepEqual(await look('custom', archive), {
      database: 'shop',
      encoding: 'UTF8',
      content: 'all',
      serverVersion: '15.18',
      dumpVersion: '15.18',
      dumpedAt: '2026-11-23T08:38:34',
    });
    assert.equal((await look('custom', head(entries.slice(0, 1), 0))).content, 'schema');
  });

  it('is taken however it is split on its way', async () => {
    const facts = await look('custom', archive);
    for (let at = 0; at <= archive.length; at += 1) {
      assert.deepEqual(await look('custom', archive.subarray(0, at), archive.subarray(at)), facts);
    }
    assert.deepEqual(await look('custom', ...[...archive].map((byte) => Uint8Array.of(byte))), facts);
  });

  it('is refused wherever it is cut off', async () => {
    for (let at = 0; at < archive.length; at += 1) await refused('custom', archive.subarray(0, at));
  });

  it('is refused with rows that it does not name, or has twice, or that have no end', async () => {
    const start = head(entries.slice(0, 2), 0);
    assert.match((await refused('custom', start, rows(9, film))).message, /rows of an entry 9/);
    assert.match((await refused('custom', start, rows(2, film), rows(2, film))).message, /rows of an entry 2/);
    assert.match(
      (await refused('custom', start, rows(2, film.subarray(0, 19)))).message,
      /"TABLE DATA film" has no end/,
    );
    assert.match((await refused('custom', start, Buffer.from([7]))).message, /a block of the type 7/);
    assert.match((await refused('custom', start)).message, /it has no "TABLE DATA film"/);
  });

  it('that pg_dump has compressed is refused with any bit of its rows flipped', async () => {
    const start = head(entries.slice(0, 2), -1);
    const packed = deflateSync(film);
    await look('custom', start, rows(2, packed, 7));
    for (let bit = 0; bit < packed.length * 8; bit += 1) {
      const changed = Buffer.from(packed);
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      // Between the last code and the checksum are bits that mean nothing.
      if (!isSame(changed)) await refused('custom', start, rows(2, changed));
    }
  });
});

describe('a script', () => {
  const start = '--\n-- PostgreSQL database dump\n--\n\n';
  const versions =
    "-- Dumped from database version 15.18\n-- Dumped by pg_dump version 16.2\n\nSET client_encoding = 'LATIN1';\n";
  const end = '\n--\n-- PostgreSQL database dump complete\n--\n\n';

  it('tells what it is of, with and without what newer versions put around it', async () => {
    for (const [before, after] of [
      ['', ''],
      ['\\restrict aB3\n\n', '\\unrestrict aB3\n\n'],
    ] as const) {
      const facts = await look('script', Buffer.from(start + before + versions + end + after));
      const { encoding, serverVersion, dumpVersion, database } = facts;
      assert.deepEqual([encoding, serverVersion, dumpVersion, database], ['LATIN1', '15.18', '16.2', undefined]);
    }
  });

  it('of pg_dump --create tells its database, whatever that is called', async () => {
    for (const [word, name] of [
      ['shop', 'shop'],
      ['"Möbel ""alt"""', 'Möbel "alt"'],
      [String.raw`-reuse-previous=on "dbname='it\'s = \\'"`, String.raw`it's = \ `.trim()],
    ] as const) {
      const facts = await look('script', Buffer.from(`${start}${versions}\\connect ${word}\n${end}`));
      assert.deepEqual([facts.database, facts.options], [name, ['--create']]);
    }
  });

  it('is refused without its last line, or with something behind it', async () => {
    const script = Buffer.from(start + versions + end);
    for (let at = start.length; at < script.length - 4; at += 1) await refused('script', script.subarray(0, at));
    await refused('script', script, Buffer.from('DROP TABLE film;\n'));
  });
});
