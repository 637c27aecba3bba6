/**
 * The error catalogue: every way in which pgrecall can say no, as data.
 *
 * A code is stable and documented (scripts match on it in `--json` output); its exit status follows
 * the contract of the commands: 1 failed, 2 wrong usage or configuration, 3 damage or a gap found,
 * 4 the target cannot be reached, 5 busy. The hint here is the general one; whoever raises the error
 * may give a better one.
 */
export const exitStatuses = { failed: 1, usage: 2, damage: 3, unreachable: 4, busy: 5 } as const;

export type ErrorKind = keyof typeof exitStatuses;

export interface CatalogueEntry {
  readonly kind: ErrorKind;
  readonly hint?: string;
}

const define = <const T extends Record<string, CatalogueEntry>>(entries: T): T => entries;

export const catalogue = define({
  // usage and configuration
  usage: { kind: 'usage', hint: 'pgrecall --help lists the commands' },
  'config-missing': { kind: 'usage', hint: 'run pgrecall init, or name the file with --config' },
  'config-invalid': { kind: 'usage' },
  'config-unknown-key': { kind: 'usage' },
  'cluster-unknown': { kind: 'usage', hint: 'the clusters are the [clusters.<name>] tables of the configuration' },
  'target-not-empty': { kind: 'usage', hint: 'name a directory that is empty or does not exist' },

  // busy
  locked: {
    kind: 'busy',
    hint: 'wait for the other operation to end; a lock whose process died is taken over by itself',
  },

  // what is read back is not what was written
  'blob-damaged': { kind: 'damage' },
  'object-damaged': { kind: 'damage' },
  'object-missing': { kind: 'damage' },
  'object-swapped': { kind: 'damage' },
  'manifest-hostile': { kind: 'damage' },
  'page-checksum': { kind: 'damage' },
  'wal-gap': { kind: 'damage' },
  'wal-damaged': { kind: 'damage' },
  decode: { kind: 'damage' },

  // keys
  'passphrase-missing': { kind: 'usage', hint: 'set passphrase_file, or PGRECALL_PASSPHRASE' },
  'passphrase-wrong': { kind: 'usage', hint: 'none of the key slots opens with this passphrase' },

  // repository
  'repository-missing': { kind: 'usage', hint: 'run pgrecall init to make it' },
  'repository-newer': { kind: 'failed', hint: 'upgrade pgrecall to read it' },
  'repository-exists': { kind: 'usage' },
  'repository-not-encrypted': {
    kind: 'usage',
    hint: 'unset the passphrase where that is intended; else find out who replaced repository.json',
  },
  'object-exists': { kind: 'failed' },
  storage: { kind: 'failed' },
  'disk-full': { kind: 'failed', hint: 'free space or move the directory; nothing that was complete has been touched' },

  // cluster and server
  'cluster-mismatch': {
    kind: 'failed',
    hint: 'this name belongs to another cluster; pick another name, or register a new incarnation on purpose',
  },
  connection: { kind: 'failed' },
  'server-rights': { kind: 'failed' },
  'server-setting': { kind: 'failed' },
  'server-refused': { kind: 'failed' },
  'server-program-missing': { kind: 'failed', hint: 'set pg_bin to the directory that holds postgres and pg_ctl' },
  'server-running': {
    kind: 'failed',
    hint: 'stop it first, or let pgrecall do it: --stop; without --cold the backup is taken while it runs',
  },
  'server-start': { kind: 'failed' },
  'server-stop': { kind: 'failed' },
  'server-changed': { kind: 'failed', hint: 'start the backup again' },
  'postgres-version': { kind: 'failed' },

  // backup
  'backup-unknown': { kind: 'usage', hint: 'pgrecall list shows the backups' },
  'backup-ambiguous': { kind: 'usage', hint: 'give more characters of the identifier' },
  'backup-failed': { kind: 'failed' },
  'clock-suspect': { kind: 'failed' },
  'backup-kept': { kind: 'failed', hint: 'release it first, or say --force' },
  'reference-expired': { kind: 'failed', hint: 'start the backup again: it takes another reference, or everything' },
  'data-directory': { kind: 'failed' },
  'wal-not-archived': { kind: 'failed' },

  // WAL archive
  'wal-other-content': {
    kind: 'failed',
    hint: 'two servers archive under one name, or a segment was changed; keep both and find out before going on',
  },
  'wal-other-cluster': { kind: 'failed' },
  'wal-name': { kind: 'usage' },
  'wal-absent': { kind: 'failed' },
  slot: { kind: 'failed' },

  // dumps
  'dump-failed': { kind: 'failed', hint: 'nothing half-made is listed; what the program said stands above' },
  'dump-contents': { kind: 'damage', hint: 'what is stored can be checked with pgrecall verify; dump again' },
  'database-not-empty': { kind: 'failed', hint: 'name another one, or say --force to load into this one all the same' },
  'object-unknown': { kind: 'usage', hint: 'pgrecall show lists the schemas and tables of a dump' },
  'objects-lacking': { kind: 'usage' },
  'load-failed': { kind: 'failed', hint: 'what the program said stands above' },

  // restore
  'target-unreachable': { kind: 'unreachable' },
  'tablespace-mapping': { kind: 'usage' },
  'delta-target': { kind: 'usage', hint: 'name a directory of the same cluster, or an empty one' },
  'database-unknown': { kind: 'usage', hint: 'pgrecall show lists the databases of a backup' },
  'recovery-failed': { kind: 'failed' },
  'recovery-unfinished': { kind: 'failed', hint: 'pgrecall recover CLUSTER --status says how far it is' },
  'keep-failed': { kind: 'failed' },
  'standby-connected': { kind: 'failed', hint: 'stop them first, or say --ignore-standbys' },

  // standbys
  'port-taken': { kind: 'failed' },
  'standby-node': { kind: 'failed' },
  'primary-alive': { kind: 'failed', hint: 'stop it first; two servers that take writes are two databases' },
  'standby-behind': { kind: 'failed' },
  'promotion-failed': { kind: 'failed' },
  'rejoin-failed': { kind: 'failed' },

  'demo-failed': { kind: 'failed' },

  io: { kind: 'failed' },
  cancelled: { kind: 'failed' },
  bug: { kind: 'failed', hint: 'this is a bug in pgrecall; please report it with this message' },
});

export type ErrorCode = keyof typeof catalogue;
