/*
 * Whether there is room for what is restored, beside what is kept. Pure: what the file systems have free comes in.
 */

/** So much is written below the path. */
export interface Need {
  readonly path: string;
  readonly bytes: number;
}

export interface FileSystem {
  /** Its number: paths of the same one share what is free. */
  readonly device: number;
  readonly freeBytes: number;
}

export interface Shortage {
  readonly paths: readonly string[];
  readonly neededBytes: number;
  readonly freeBytes: number;
}

/** The first file system that has too little. */
export function findShortage(needs: readonly Need[], fileSystemOf: (path: string) => FileSystem): Shortage | undefined {
  const found = new Map<number, Shortage>();
  for (const { path, bytes } of needs) {
    const { device, freeBytes } = fileSystemOf(path);
    const { paths = [], neededBytes = 0 } = found.get(device) ?? {};
    found.set(device, { paths: [...paths, path], neededBytes: neededBytes + bytes, freeBytes });
  }
  return [...found.values()].find(({ neededBytes, freeBytes }) => neededBytes > freeBytes);
}

/** Of a backup's files, how much lies in which tablespace, by its oid; under 0 what lies in the data directory itself. */
export async function sizesByTablespace(
  entries: AsyncIterable<{ readonly path: string; readonly sizeBytes: number }>,
): Promise<ReadonlyMap<number, number>> {
  const sizes = new Map<number, number>();
  for await (const { path, sizeBytes } of entries) {
    const oid = Number(/^pg_tblspc\/(\d+)\//.exec(path)?.[1] ?? 0);
    sizes.set(oid, (sizes.get(oid) ?? 0) + sizeBytes);
  }
  return sizes;
}
