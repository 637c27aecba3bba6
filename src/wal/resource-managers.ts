/*
 * Resource managers, after access/rmgrlist.h: who wrote a record and can replay it.
 * The list is the same in 14 to 18; since 15 extensions may register ids from 128 on (access/rmgr.h).
 */

export const resourceManagers = {
  xlog: 0,
  transaction: 1,
  storage: 2,
  commitLog: 3,
  database: 4,
  tablespace: 5,
} as const;

const names: readonly string[] = [
  'XLOG',
  'Transaction',
  'Storage',
  'CLOG',
  'Database',
  'Tablespace',
  'MultiXact',
  'RelMap',
  'Standby',
  'Heap2',
  'Heap',
  'Btree',
  'Hash',
  'Gin',
  'Gist',
  'Sequence',
  'SPGist',
  'BRIN',
  'CommitTs',
  'ReplicationOrigin',
  'Generic',
  'LogicalMessage',
];

const firstCustom = 128;

/** The last id that PostgreSQL itself uses. */
const lastBuiltIn = names.length - 1;

export function isResourceManager(id: number, postgresMajor: number): boolean {
  return id <= lastBuiltIn || (postgresMajor >= 15 && id >= firstCustom && id <= 255);
}

/** As pg_waldump prints it: `Heap2`, `custom128`; undefined for an id that the version does not have. */
export function resourceManagerName(id: number, postgresMajor: number): string | undefined {
  if (!isResourceManager(id, postgresMajor)) return undefined;
  return names[id] ?? `custom${String(id).padStart(3, '0')}`;
}
