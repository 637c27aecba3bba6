import { PgrecallError } from '../errors/pgrecall-error.ts';
import { mapGrantedRoles, type RoleMap } from './map-roles.ts';
import { namingRoles } from './granted-roles.ts';
import { decodeTocHeader, type TocHeader } from './toc-header.ts';
import { MoreNeeded, TocReader } from './toc-reader.ts';

/*
 * An archive with other names of roles in its table of contents: pg_restore has no option for that. Owners are fields; in
 * privileges and policies they stand in SQL. All else stays as it is, save where rows begin in a custom archive: that moves,
 * and pg_restore looks for them where it is not told.
 *
 * Texts are taken as bytes, each a character: every encoding of PostgreSQL has ASCII for what SQL is made of.
 */

/** Throws `dump-contents` for what is no archive, `usage` where a name cannot be written in its encoding. */
export async function* mapArchiveRoles(archive: AsyncIterable<Uint8Array>, roles: RoleMap): AsyncGenerator<Uint8Array> {
  const mapper = new TocMapper(roles);
  for await (const bytes of archive) yield mapper.push(bytes);
  yield mapper.end();
}

class TocMapper {
  readonly #wanted: RoleMap;
  /** As bytes of the archive's encoding, once that is known. */
  #roles: RoleMap | undefined;
  #held: Buffer = Buffer.alloc(0);
  #tryAtBytes = 0;
  #header: TocHeader | undefined;
  #mapped = 0;

  constructor(roles: RoleMap) {
    this.#wanted = roles;
  }

  get #done(): boolean {
    return this.#mapped === this.#header?.entries;
  }

  push(bytes: Uint8Array): Uint8Array {
    if (this.#done) return bytes;
    this.#held = Buffer.concat([this.#held, bytes]);
    return this.#held.length < this.#tryAtBytes ? new Uint8Array() : this.#map();
  }

  /** After the last bytes: what has waited. Throws `dump-contents` where the table does not end here. */
  end(): Uint8Array {
    if (this.#done) return new Uint8Array();
    const bytes = this.#map();
    if (this.#done) return bytes;
    throw new PgrecallError('dump-contents', 'the table of contents is cut off');
  }

  /** Trying again at every piece would take the square of the time for an entry that is long. */
  #map(): Uint8Array {
    const parts: Uint8Array[] = [];
    let consumed = 0;
    try {
      while (!this.#done) {
        const rest = this.#held.subarray(consumed);
        const reader = new TocReader(rest, consumed);
        const part = this.#header ? this.#mapEntry(reader, rest, this.#header) : this.#takeHeader(reader, rest);
        parts.push(part);
        consumed += reader.consumed;
      }
    } catch (error) {
      if (!(error instanceof MoreNeeded)) throw error;
    }
    this.#held = this.#held.subarray(consumed);
    this.#tryAtBytes = this.#held.length * 2;
    if (this.#done) parts.push(this.#held);
    return Buffer.concat(parts);
  }

  #takeHeader(reader: TocReader, rest: Buffer): Uint8Array {
    const header = decodeTocHeader(reader);
    this.#header = header;
    return rest.subarray(0, reader.consumed);
  }

  /** After decodeTocEntry (toc-entry.ts). */
  #mapEntry(reader: TocReader, rest: Buffer, header: TocHeader): Uint8Array {
    reader.intBytes = header.intBytes;
    reader.offsetBytes = header.offsetBytes;
    // The id, whether it has rows, two OIDs, the name.
    reader.int();
    reader.int();
    for (let field = 0; field < 3; field += 1) readRaw(reader);
    const kind = readRaw(reader) ?? '';
    reader.int();
    const beforeDefinition = reader.consumed;
    const definition = readRaw(reader);
    const afterDefinition = reader.consumed;
    // What drops it, how its rows are copied, schema, tablespace, access method.
    for (let field = 0; field < 5; field += 1) readRaw(reader);
    if (header.version >= 16) reader.int();
    const beforeOwner = reader.consumed;
    const owner = readRaw(reader);
    const afterOwner = reader.consumed;
    // WITH OIDS, then dependencies up to a text that is none.
    readRaw(reader);
    for (let dependency = readRaw(reader); dependency !== undefined;) dependency = readRaw(reader);
    const beforePlace = reader.consumed;
    if (header.format === 'custom') reader.bytes(1 + header.offsetBytes);
    else readRaw(reader);
    if (kind === 'ENCODING') this.#roles = inEncoding(this.#wanted, definition ?? '');
    this.#mapped += 1;
    const roles = this.#roles ?? this.#wanted;
    const place = Buffer.from(rest.subarray(beforePlace, reader.consumed));
    if (header.format === 'custom' && place[0] === placeTold) place[0] = placeNotTold;
    return Buffer.concat([
      rest.subarray(0, beforeDefinition),
      definition !== undefined && namingRoles.has(kind)
        ? encodeText(mapGrantedRoles(definition, roles), header)
        : rest.subarray(beforeDefinition, afterDefinition),
      rest.subarray(afterDefinition, beforeOwner),
      owner === undefined ? rest.subarray(beforeOwner, afterOwner) : encodeText(roles.get(owner) ?? owner, header),
      rest.subarray(afterOwner, beforePlace),
      place,
    ]);
  }
}

const placeNotTold = 1;
const placeTold = 2;

/** A text, each of its bytes as a character. */
function readRaw(reader: TocReader): string | undefined {
  return reader.rawText()?.toString('latin1');
}

function encodeText(text: string, { intBytes }: TocHeader): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const length = Buffer.alloc(1 + intBytes);
  length.writeUInt32LE(bytes.length, 1);
  return Buffer.concat([length, bytes]);
}

/** The names as they stand in the archive. */
function inEncoding(roles: RoleMap, definition: string): RoleMap {
  const encoding = /^SET client_encoding = '([\w-]+)'/.exec(definition)?.[1] ?? 'UTF8';
  const isUtf8 = encoding === 'UTF8' || encoding === 'SQL_ASCII';
  return new Map(
    [...roles].map((pair) => {
      const [old = '', other = ''] = pair.map((name) => {
        // eslint-disable-next-line no-control-regex
        if (!isUtf8 && !/^[\u0001-\u007F]*$/.test(name)) {
          throw new PgrecallError(
            'usage',
            `--owner: "${name}" cannot be written in the encoding of the dump, ${encoding}`,
            {
              hint: 'names of ASCII can; or say --no-owner, and change owners afterwards (REASSIGN OWNED)',
            },
          );
        }
        return Buffer.from(name).toString('latin1');
      });
      return [old, other];
    }),
  );
}
