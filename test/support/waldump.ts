import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { formatLsn, parseLsn, type Lsn } from '../../src/postgres/lsn.ts';
import { parseRelationPath } from '../../src/postgres/relation-file.ts';
import { parseTimestamp } from '../../src/wal/transaction-time.ts';

/*
 * What PostgreSQL's own pg_waldump says of WAL, read from its text: a line a record.
 *
 *   rmgr: Heap  len (rec/tot): 54/ 54, tx: 735, lsn: 0/01529AD8, prev 0/01529AA0, desc: INSERT off 6, blkref #0: rel 1663/5/16384 blk 0 FPW
 */

export interface DumpedBlock {
  readonly id: number;
  readonly spcOid: number;
  readonly dbOid: number;
  readonly relNumber: number;
  /** As in WAL: 0 main, 1 fsm, 2 vm, 3 init. */
  readonly fork: number;
  readonly block: number;
  readonly image: 'none' | 'apply' | 'verify';
}

export interface DumpedRecord {
  readonly lsn: Lsn;
  readonly previousLsn: Lsn;
  readonly xid: number;
  readonly resourceManager: string;
  readonly lengthBytes: number;
  /** What kind of record, and what it says: `COMMIT 2026-11-25 09:21:39.640642 UTC; inval msgs: …` */
  readonly description: string;
  readonly blocks: readonly DumpedBlock[];
}

const forks = ['main', 'fsm', 'vm', 'init'];

const linePattern =
  /^rmgr: (\S+) +len \(rec\/tot\): +\d+\/ *(\d+), tx: +(\d+), lsn: ([0-9A-F]+\/[0-9A-F]+), prev ([0-9A-F]+\/[0-9A-F]+), desc: ([^]*)$/;

const blockPattern =
  /blkref #(\d+): rel (\d+)\/(\d+)\/(\d+)(?: fork (\w+))? blk (\d+)(?: \(?(FPW)( for WAL verification)?\)?)?/g;

/** The block references in what pg_waldump prints after a description, or pg_walinspect in the column `block_ref`. */
export function parseBlockReferences(text: string): DumpedBlock[] {
  return Array.from(text.matchAll(blockPattern), (match) => ({
    id: Number(match[1]),
    spcOid: Number(match[2]),
    dbOid: Number(match[3]),
    relNumber: Number(match[4]),
    fork: match[5] === undefined ? 0 : forks.indexOf(match[5]),
    block: Number(match[6]),
    image: match[7] === undefined ? 'none' : match[8] === undefined ? 'apply' : 'verify',
  }));
}

function parseLine(line: string): DumpedRecord {
  const match = linePattern.exec(line);
  if (!match) throw new Error(`pg_waldump printed a line that is no record: ${line.slice(0, 500)}`);
  const rest = match[6] ?? '';
  const blocksAt = rest.indexOf(', blkref #');
  return {
    lsn: parseLsn(match[4] ?? ''),
    previousLsn: parseLsn(match[5] ?? ''),
    xid: Number(match[3]),
    resourceManager: match[1] ?? '',
    lengthBytes: Number(match[2]),
    description: (blocksAt < 0 ? rest : rest.slice(0, blocksAt)).trimEnd(),
    blocks: blocksAt < 0 ? [] : parseBlockReferences(rest.slice(blocksAt)),
  };
}

export interface DumpedWal {
  readonly records: readonly DumpedRecord[];
  /** Where pg_waldump found no further record. */
  readonly endLsn: Lsn;
}

/** Every record of a timeline from `startLsn` to the end, as the given pg_waldump reads them. */
export async function dumpWal(options: {
  readonly program: string;
  readonly directory: string;
  readonly timeline: number;
  readonly startLsn: Lsn;
}): Promise<DumpedWal> {
  const { program, directory, timeline, startLsn } = options;
  const child = spawn(program, ['-p', directory, '-t', String(timeline), '-s', formatLsn(startLsn)], {
    env: { ...process.env, TZ: 'UTC', LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (text: Buffer) => (errors += text.toString()));
  const closed = new Promise((resolve) => {
    child.on('close', resolve);
  });
  const records: DumpedRecord[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('first record is after ') || line === '') continue;
    // a long message's content in hexadecimal digits is of no use, and it is long
    records.push(parseLine(line.length > 100_000 ? line.slice(0, 2000) : line));
  }
  await closed;
  // the end of WAL is an error to it
  const end = /invalid record length at ([0-9A-F]+\/[0-9A-F]+): (?:wanted|expected at least) 24, got 0/.exec(errors);
  if (!end) throw new Error(`pg_waldump failed: ${errors}`);
  return { records, endLsn: parseLsn(end[1] ?? '') };
}

export interface DumpedEnd {
  readonly xid: number;
  readonly kind: 'commit' | 'abort' | 'commit-prepared' | 'abort-prepared';
  /** Microseconds since 2000-01-01 UTC. */
  readonly time: bigint;
  /** Paths of relations removed: `base/5/16384`. */
  readonly relations: readonly string[];
}

const endKinds = new Map<string, DumpedEnd['kind']>([
  ['COMMIT', 'commit'],
  ['ABORT', 'abort'],
  ['COMMIT_PREPARED', 'commit-prepared'],
  ['ABORT_PREPARED', 'abort-prepared'],
]);

/** What the record says where it ends a transaction. A prepared one's xid stands before the time. */
export function endOfTransaction(record: DumpedRecord): DumpedEnd | undefined {
  if (record.resourceManager !== 'Transaction') return undefined;
  const match = /^(\w+) (?:(\d+): )?(\d{4,}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) UTC/.exec(record.description);
  const kind = endKinds.get(match?.[1] ?? '');
  if (!match || !kind) return undefined;
  return {
    xid: match[2] === undefined ? record.xid : Number(match[2]),
    kind,
    time: parseTimestamp(`${match[3]}Z`),
    relations: (/; rels: ([^;]+)/.exec(record.description)?.[1] ?? '').split(' ').filter((path) => path !== ''),
  };
}

/** A fork that got `blocks` blocks: none where it is new, gone or replaced. Relation 0: all of the database there. */
export interface DumpedCut {
  readonly spcOid: number;
  readonly dbOid: number;
  readonly relNumber: number;
  readonly fork: number;
  readonly blocks: number;
  /** The last block that stays is changed too. */
  readonly changesLast?: boolean;
}

/** Which forks the record makes, removes or cuts. */
export function cutsOf(record: DumpedRecord): DumpedCut[] {
  const { description, resourceManager } = record;
  switch (resourceManager) {
    case 'Transaction':
      return (endOfTransaction(record)?.relations ?? []).flatMap((path) =>
        [0, 2, 3].map((fork) => ({ ...relationOf(path), fork, blocks: 0 })),
      );
    case 'Storage':
      return cutsOfStorage(description);
    case 'Database':
      return cutsOfDatabase(description);
    default:
      return [];
  }
}

function cutsOfStorage(description: string): DumpedCut[] {
  const created = /^CREATE (\S+)/.exec(description);
  if (created) {
    const relation = relationOf(created[1] ?? '');
    return relation.fork === 1 ? [] : [{ ...relation, blocks: 0 }];
  }
  const truncated = /^TRUNCATE (\S+) to (\d+) blocks flags (\d+)/.exec(description);
  if (!truncated) throw new Error(`a storage record that says "${description}"`);
  const relation = relationOf(truncated[1] ?? '');
  const blocks = Number(truncated[2]);
  const flags = Number(truncated[3]);
  return [
    ...((flags & 1) === 0 ? [] : [{ ...relation, blocks }]),
    // a block of the map tells of 32672 blocks of the table
    ...((flags & 2) === 0 ? [] : [{ ...relation, fork: 2, blocks: Math.ceil(blocks / 32_672) }]),
  ];
}

/** `CREATE_FILE_COPY copy dir 1663/1 to 1663/16400`, `CREATE_WAL_LOG create dir 1663/16400`, `DROP dir 1663/16400 16500/16400` */
function cutsOfDatabase(description: string): DumpedCut[] {
  const made = /^CREATE\S* (?:copy dir \S+ to|create dir) (\d+\/\d+)/.exec(description);
  const directories = made ? [made[1] ?? ''] : (/^DROP dir (.*)$/.exec(description)?.[1] ?? '').split(' ');
  return directories.map((directory) => {
    const [spcOid = 0, dbOid = 0] = directory.split('/').map(Number);
    return { spcOid, dbOid, relNumber: 0, fork: 0, blocks: 0 };
  });
}

function relationOf(path: string): Omit<DumpedCut, 'blocks'> {
  const found = parseRelationPath(path);
  if (!found) throw new Error(`"${path}" is not the path of a relation`);
  const { tablespaceOid, databaseOid, relfilenode, fork } = found;
  return { spcOid: tablespaceOid, dbOid: databaseOid, relNumber: relfilenode, fork: forks.indexOf(fork) };
}
