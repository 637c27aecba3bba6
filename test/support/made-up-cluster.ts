import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { BackupServer, ServerFacts } from '../../src/backup/backup-server.ts';
import { crc32c } from '../../src/bytes/crc32c.ts';
import { formatBackupLabel } from '../../src/postgres/backup-label.ts';
import { lsn, type Lsn } from '../../src/postgres/lsn.ts';
import { pageBytes, pageChecksum } from '../../src/postgres/page.ts';
import { timeline } from '../../src/postgres/timeline.ts';
import type { Incarnation } from '../../src/repository/cluster-document.ts';
import { identifier, incarnationOf, mebibyte, nameOf, walSegment } from './test-archive.ts';

/* A data directory and a server without PostgreSQL: what a backup looks at, and no more. WAL segments have 1 MiB. */

/** PostgreSQL 15. */
const catalogVersion = 202_209_061;
export const versionDirectory = `PG_15_${catalogVersion}`;

export interface ControlFields {
  readonly systemIdentifier?: bigint;
  readonly redoLsn?: bigint;
  readonly timeline?: number;
  readonly minRecoveryTimeline?: number;
  readonly dataChecksums?: boolean;
  readonly relationSegmentBlocks?: number;
  readonly blockBytes?: number;
}

/** global/pg_control of version 15, in production; see postgres/control-file.ts for the layout. */
export function madeUpControl(fields: ControlFields = {}): Buffer {
  const bytes = Buffer.alloc(pageBytes);
  bytes.writeBigUInt64LE(fields.systemIdentifier ?? identifier, 0);
  bytes.writeUInt32LE(1300, 8);
  bytes.writeUInt32LE(catalogVersion, 12);
  bytes.writeUInt32LE(6, 16);
  bytes.writeBigUInt64LE((fields.redoLsn ?? startLsn) + 0x28n, 32);
  bytes.writeBigUInt64LE(fields.redoLsn ?? startLsn, 40);
  bytes.writeUInt32LE(fields.timeline ?? 1, 48);
  bytes.writeUInt32LE(fields.timeline ?? 1, 52);
  bytes.writeUInt32LE(fields.minRecoveryTimeline ?? 0, 144);
  bytes.writeUInt32LE(1, 172);
  bytes.writeUInt32LE(fields.blockBytes ?? pageBytes, 216);
  bytes.writeUInt32LE(fields.relationSegmentBlocks ?? 131_072, 220);
  bytes.writeUInt32LE(pageBytes, 224);
  bytes.writeUInt32LE(mebibyte, 228);
  bytes.writeUInt32LE((fields.dataChecksums ?? true) ? 1 : 0, 252);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 288)), 288);
  return bytes;
}

/** Where a backup of it starts and ends: within segment 2. */
export const startLsn = lsn(2 * mebibyte + 0x28);
const stopLsn = lsn(2 * mebibyte + 0x4000);

/** The segment that a backup needs, and the checkpoint in it. */
export const madeUpSegment = (): Buffer => walSegment(2, { commits: [10n, 20n], checkpoint: true });

/** Pages of a relation, from its block `first` on, with checksums; the same seed gives the same bytes. */
export function madeUpPages(
  count: number,
  options: { readonly first?: number; readonly seed?: number; readonly pageLsn?: bigint } = {},
): Buffer {
  const { first = 0, seed = 1, pageLsn = 0x1000n } = options;
  const bytes = Buffer.alloc(count * pageBytes);
  for (let i = 0; i < count; i += 1) {
    const page = bytes.subarray(i * pageBytes, (i + 1) * pageBytes);
    // Compresses, but not to nothing.
    for (let at = 24; at < pageBytes; at += 8)
      page.writeUInt32LE(Math.imul(at + i * 7 + seed, 2_654_435_761) >>> 12, at);
    page.writeUInt32LE(Number(pageLsn >> 32n), 0);
    page.writeUInt32LE(Number(pageLsn & 0xffff_ffffn), 4);
    page.writeUInt16LE(pageBytes, 14);
    page.writeUInt16LE(pageChecksum(page, first + i), 8);
  }
  return bytes;
}

/** A directory below a temporary one, with PostgreSQL's usual directories in it; gone with `using`. */
export class MadeUpCluster implements Disposable {
  readonly root: string;
  readonly dataDirectory: string;
  readonly incarnation: Incarnation = incarnationOf(mebibyte);

  constructor() {
    this.root = mkdtempSync(join(tmpdir(), 'pgr-made-up-'));
    this.dataDirectory = join(this.root, 'data');
    for (const name of ['base/5', 'global', 'pg_tblspc', 'pg_wal/archive_status', 'pg_replslot', 'pg_stat_tmp']) {
      mkdirSync(join(this.dataDirectory, name), { recursive: true, mode: 0o700 });
    }
    this.write('PG_VERSION', '15\n');
    this.write('postgresql.conf', 'port = 5432\n');
    this.write('postgresql.auto.conf', '# ALTER SYSTEM\n');
    this.write('global/pg_control', madeUpControl());
    this.write(`pg_wal/${nameOf(2)}`, madeUpSegment());
  }

  path(name: string): string {
    return join(this.dataDirectory, name);
  }

  write(name: string, content: Uint8Array | string): void {
    mkdirSync(dirname(this.path(name)), { recursive: true, mode: 0o700 });
    writeFileSync(this.path(name), content, { mode: 0o600 });
  }

  /** A tablespace with one relation, outside the data directory. */
  addTablespace(oid: number): string {
    const place = join(this.root, `tablespace-${oid}`);
    mkdirSync(join(place, versionDirectory, '5'), { recursive: true, mode: 0o700 });
    writeFileSync(join(place, versionDirectory, '5', '16500'), madeUpPages(3, { seed: oid }));
    symlinkSync(place, this.path(`pg_tblspc/${oid}`));
    return place;
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

const madeUpFacts: ServerFacts = {
  major: 15,
  systemIdentifier: String(identifier),
  inRecovery: false,
  dataDirectory: undefined,
  archiveMode: 'on',
  walLevel: 'replica',
  configurationFiles: {},
  settingsFiles: [],
  tablespaces: [],
  databases: [],
};

/** A server that says what a test wants it to say. */
export class MadeUpServer implements BackupServer {
  readonly facts_: ServerFacts;
  readonly from: 'primary' | 'standby';
  written: Lsn;
  started = 0;
  stopped = 0;
  #lost: ((error: Error) => void)[] = [];

  constructor(changes: { readonly facts?: Partial<ServerFacts>; readonly written?: Lsn } = {}) {
    this.facts_ = { ...madeUpFacts, ...changes.facts };
    this.from = this.facts_.inRecovery ? 'standby' : 'primary';
    this.written = changes.written ?? lsn(3 * mebibyte);
  }

  async facts(): Promise<ServerFacts> {
    return this.facts_;
  }

  async start(): Promise<Lsn> {
    this.started += 1;
    return startLsn;
  }

  async stop(): Promise<{ stopLsn: Lsn; label: string; tablespaceMap: string }> {
    this.stopped += 1;
    const label = formatBackupLabel({
      startLsn,
      startSegment: nameOf(2),
      checkpointLsn: lsn(startLsn + 0x28n),
      method: 'streamed',
      from: this.from,
      startTime: '2026-11-23 08:38:34 UTC',
      label: 'made up',
      startTimeline: timeline(1),
    });
    return { stopLsn, label, tablespaceMap: '' };
  }

  async writtenLsn(): Promise<Lsn> {
    return this.written;
  }

  onLost(listener: (error: Error) => void): void {
    this.#lost.push(listener);
  }

  /** As a server that is restarted. */
  die(): void {
    for (const listener of this.#lost) listener(new Error('terminating connection due to administrator command'));
  }
}
