import { PgrecallError } from '../errors/pgrecall-error.ts';
import { parseRelationPath, type RelationFile } from '../postgres/relation-file.ts';
import {
  RelationNames,
  describeRelation,
  relationNamesAttachment,
  type ResolvedRelation,
} from '../postgres/relation-names.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ManifestReader } from '../repository/manifest-reader.ts';

/** What a file of a backup is in the database. */
export interface NamedFile {
  readonly file: RelationFile;
  /** `undefined` of shared relations, and where the backup does not know it. */
  readonly database: string | undefined;
  /** `undefined` where the backup does not know it. */
  readonly relation: ResolvedRelation | undefined;
}

/** What the files of one backup are called, as far as the backup knows. */
export class FileNames {
  readonly #databases: ReadonlyMap<number, string>;
  #names: RelationNames | undefined;

  private constructor(databases: ReadonlyMap<number, string>, names: RelationNames | undefined) {
    this.#databases = databases;
    this.#names = names;
  }

  /** Names are a help: where they are missing or damaged, there are none. */
  static async read(manifest: ManifestReader, record: Pick<BackupRecord, 'databases'>): Promise<FileNames> {
    const databases = new Map((record.databases ?? []).map(({ oid, name }) => [oid, name]));
    const names = await orNothing(async () => {
      const bytes = await manifest.attachment(relationNamesAttachment);
      return bytes && new RelationNames(bytes);
    });
    return new FileNames(databases, names);
  }

  /** `undefined` where the path is not that of a relation's file. */
  of(path: string): NamedFile | undefined {
    const file = parseRelationPath(path);
    if (!file) return undefined;
    return { file, database: this.#databases.get(file.databaseOid), relation: this.#find(file) };
  }

  #find(file: RelationFile): ResolvedRelation | undefined {
    try {
      return this.#names?.find(file);
    } catch (error) {
      if (!(error instanceof PgrecallError)) throw error;
      this.#names = undefined;
      return undefined;
    }
  }
}

async function orNothing<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof PgrecallError)) throw error;
    return undefined;
  }
}

/** `shop: index public.rental_pkey of public.rental`; `undefined` where nothing is known of it. */
export function describeFile({ database, relation }: NamedFile): string | undefined {
  if (!relation) return database === undefined ? undefined : `database ${database}`;
  return database === undefined ? describeRelation(relation) : `${database}: ${describeRelation(relation)}`;
}
