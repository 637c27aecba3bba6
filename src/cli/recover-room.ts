import { existsSync, realpathSync, statSync, statfsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { connectionOptions } from '../connection/connection-uri.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ControlFile } from '../postgres/control-file.ts';
import { isMountPoint, refuseMountsWithin } from '../recover/mount-points.ts';
import { findShortage, sizesByTablespace, type FileSystem, type Need } from '../recover/room.ts';
import { presentTablespaces } from '../restore/delta-target.ts';
import type { RestorePlan } from '../restore/restore-plan.ts';
import { readPostmasterPid } from '../server/postmaster-pid.ts';
import { requireFreePort } from '../standby/port-in-use.ts';
import type { ClusterAccess } from './cluster-access.ts';
import type { CliContext } from './context.ts';
import { formatBytes } from './format.ts';
import type { RecoverPlace } from './recover-place.ts';

/** Whether what is there can be kept by other names. Throws `keep-failed`. */
export function requireMovable(directory: string, control: ControlFile): void {
  const version = `PG_${control.postgresMajor}_${control.catalogVersion}`;
  const places = [...presentTablespaces(directory).values()].map((place) => join(place, version));
  refuseMountsWithin([directory, realpathSync(join(directory, 'pg_wal')), ...places]);
}

/** Whether it can start at its port, or at the other one that is wanted meanwhile. Throws `port-taken`. */
export async function requirePort(
  { directory, config }: RecoverPlace,
  wanted: number | undefined,
  wasRunning: boolean,
  { env }: CliContext,
): Promise<void> {
  // Of one that has crashed it is there as well.
  const last = readPostmasterPid(directory);
  const own = connectionOptions(config.connection, env);
  const port = wanted ?? last?.port ?? own.port;
  if (wasRunning && port === last?.port) return;
  const sockets = last?.socketDirectory ?? own.host;
  // Until it is opened it listens to no address.
  await requireFreePort(port, sockets.startsWith('/') ? [sockets] : [], { overTcp: false });
}

/** Old and new directories lie side by side for a while, tablespaces too, each on its file system. Throws `disk-full`. */
export async function requireRoom(
  { cluster }: ClusterAccess,
  { backup }: RestorePlan,
  directory: string,
): Promise<void> {
  // What is mounted there stays there, and what was in it is kept within.
  const place = isMountPoint(directory) ? directory : dirname(directory);
  const needs: Need[] = [{ path: place, bytes: backup.sizeBytes }];
  if (backup.tablespaces.length > 0) {
    await using manifest = await cluster.openManifest(backup.id);
    const sizes = await sizesByTablespace(manifest.entries());
    const present = presentTablespaces(directory);
    const others = backup.tablespaces.map(({ oid, path }) => ({
      path: nearest(present.get(oid) ?? path),
      bytes: sizes.get(oid) ?? 0,
    }));
    needs.splice(0, 1, { path: place, bytes: sizes.get(0) ?? 0 }, ...others);
  }
  const shortage = findShortage(needs, fileSystemOf);
  if (!shortage) return;
  const { paths, freeBytes, neededBytes } = shortage;
  const where = paths.map((path) => `"${path}"`).join(', ');
  throw new PgrecallError(
    'disk-full',
    `${formatBytes(freeBytes)} are free in ${where}, and ${backup.id} takes ${formatBytes(neededBytes)} there`,
    {
      hint: 'the old state is kept until --forget: make room for both; nothing was changed',
      details: { paths, freeBytes, neededBytes },
    },
  );
}

function fileSystemOf(path: string): FileSystem {
  const { bavail, bsize } = statfsSync(path);
  return { device: statSync(path).dev, freeBytes: bavail * bsize };
}

function nearest(path: string): string {
  let at = path;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  return at;
}
