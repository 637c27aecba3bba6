import { chmodSync, chownSync, lstatSync, mkdirSync, symlinkSync, unlinkSync, type Stats } from 'node:fs';
import { isErrno } from '../errors/pgrecall-error.ts';
import { fileSystemPath } from '../repository/path-text.ts';
import { leadsTo } from './clean-directory.ts';
import type { Owner } from './durable.ts';
import type { FileAttributes } from './restore-items.ts';
import { writing } from './write-error.ts';

/** What is there already of a file that is to be restored. */
export interface PresentFile {
  readonly sizeBytes: number;
  /** Whether it has the owner, mode and time that it is to have. */
  readonly hasAttributes: boolean;
}

/** How directories and links come to be, and what is there of files. */
export interface Placing {
  readonly makeDirectory: (path: string) => void;
  /** Modes come last: a directory that is read-only could not be filled. */
  readonly finishDirectory: (path: string, attributes: Omit<FileAttributes, 'modifiedMs'>) => void;
  readonly makeLink: (path: string, place: string) => void;
  /** `undefined` where the file is to be made. */
  readonly presentFile: (path: string, attributes: FileAttributes) => PresentFile | undefined;
  /** Nothing is written. */
  readonly only: boolean;
}

/** Into a new directory, which has nothing of it. */
export const placeAnew: Placing = {
  makeDirectory: (path) => writing(path, () => mkdirSync(fileSystemPath(path), { mode: 0o700 })),
  finishDirectory: (path, { mode, owner }) =>
    writing(path, () => {
      give(path, owner);
      if (mode !== 0o700) chmodSync(fileSystemPath(path), mode);
    }),
  makeLink: (path, place) => writing(path, () => symlinkSync(place, path)),
  presentFile: () => undefined,
  only: false,
};

/** Over what is there, once everything is gone that does not fit (clean-directory.ts). */
export const placeOver: Placing = {
  makeDirectory: (path) =>
    writing(path, () => {
      const stat = look(path);
      if (!stat) mkdirSync(fileSystemPath(path), { mode: 0o700 });
      else if (stat.isDirectory() && (stat.mode & 0o700) !== 0o700) chmodSync(fileSystemPath(path), 0o700);
    }),
  finishDirectory: (path, { mode, owner }) =>
    writing(path, () => {
      give(path, owner);
      chmodSync(fileSystemPath(path), mode);
    }),
  makeLink: (path, place) =>
    writing(path, () => {
      const stat = look(path);
      if (stat?.isSymbolicLink() === true && leadsTo(path, place)) return;
      symlinkSync(place, path);
    }),
  presentFile: (path, attributes) =>
    writing(path, () => {
      const stat = look(path);
      if (!stat) return undefined;
      if (stat.nlink > 1) {
        // Written in place, it would change under its other names, too.
        unlinkSync(fileSystemPath(path));
        return undefined;
      }
      if ((stat.mode & 0o600) !== 0o600) chmodSync(fileSystemPath(path), 0o600);
      return describe(stat, attributes);
    }),
  only: false,
};

/** To say what would be done over what is there, whether it fits or not. */
export const placeNothing: Placing = {
  makeDirectory: () => undefined,
  finishDirectory: () => undefined,
  makeLink: () => undefined,
  presentFile: (path, attributes) => {
    const stat = look(path);
    return stat?.isFile() === true && stat.nlink === 1 ? describe(stat, attributes) : undefined;
  },
  only: true,
};

function describe(stat: Stats, { mode, modifiedMs, owner }: FileAttributes): PresentFile {
  const isOwned = !owner || (stat.uid === owner.uid && stat.gid === owner.gid);
  const isTimed = Math.abs(stat.mtimeMs - modifiedMs) < 1;
  return { sizeBytes: stat.size, hasAttributes: isOwned && isTimed && (stat.mode & 0o7777) === (mode & 0o777) };
}

function give(path: string, owner: Owner | undefined): void {
  if (owner) chownSync(fileSystemPath(path), owner.uid, owner.gid);
}

function look(path: string): Stats | undefined {
  try {
    return lstatSync(fileSystemPath(path), { throwIfNoEntry: false });
  } catch (error) {
    // As long as nothing was removed, there may be a file in the place of a directory.
    if (isErrno(error, 'ENOTDIR')) return undefined;
    throw error;
  }
}
