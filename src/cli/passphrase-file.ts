import {
  closeSync,
  existsSync,
  fchownSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { ClusterConfig } from '../config/config.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { newSecret } from '../repository/generated-secret.ts';
import { canActAs, type Owner } from './privileges.ts';

/** A passphrase that does not exist yet, and the file that it goes into. */
export interface NewPassphrase {
  readonly path: string;
  readonly temporary: string;
  readonly text: string;
}

/**
 * What `init` is to make where it was asked to. `undefined` where the file is there, or a repository is, or was once: a new
 * passphrase could not open that. Throws `usage` where the passphrase does not come from a file.
 */
export function passphraseToMake(
  cluster: ClusterConfig,
  options: {
    /** Whether a repository was here once. */
    readonly expected: boolean;
    readonly randomBytes: (length: number) => Uint8Array;
  },
): NewPassphrase | undefined {
  const source = cluster.passphraseSource;
  if (source.kind !== 'file') {
    const inTheWay = source.kind === 'environment';
    throw new PgrecallError('usage', '--generate-passphrase has no file to put the passphrase into', {
      hint: inTheWay
        ? 'PGRECALL_PASSPHRASE is set, and counts before a file: unset it'
        : 'name it: --passphrase-file /etc/pgrecall/passphrase',
    });
  }
  if (existsSync(source.path) || options.expected || existsSync(join(cluster.repositoryDirectory, 'repository.json'))) {
    return undefined;
  }
  const random = Buffer.from(options.randomBytes(8)).toString('hex');
  return {
    path: source.path,
    temporary: `${source.path}.${random}.tmp`,
    text: newSecret(options.randomBytes),
  };
}

/** Whole and durable on return, readable to `owner` alone. Never replaces a file. Throws `config-invalid`. */
export function writePassphrase({ path, temporary, text }: NewPassphrase, owner: Owner): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    const descriptor = openSync(temporary, 'wx', 0o600);
    try {
      writeFileSync(descriptor, `${text}\n`);
      if (canActAs(owner)) fchownSync(descriptor, owner.uid, owner.gid);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    // Unlike a rename it fails where somebody else has made the file meanwhile.
    linkSync(temporary, path);
    rmSync(temporary);
    syncDirectory(dirname(path));
  } catch (error) {
    if (existsSync(temporary)) rmSync(temporary);
    throw new PgrecallError('config-invalid', `cannot make the passphrase file "${path}"`, {
      hint: 'name a file in a directory of this machine in which this user may make files',
      cause: error,
    });
  }
}

function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
