import type { ClusterRepository } from '../../src/repository/cluster-repository.ts';
import type { Extent } from '../../src/repository/file-map.ts';
import type { BlobLocation, PackId } from '../../src/repository/pack-id.ts';

/*
 * A file as a full backup and several incremental ones leave it: its map alternates between the chunks of the first and
 * parts of blobs of later ones, each of which holds pages from all over the file.
 */

const scatteredPage = 512;

export interface ScatteredFile {
  readonly extents: readonly Extent[];
  readonly content: Buffer;
}

/** What one backup stores: the pages that it finds changed, in blobs of so many. */
export interface Generation {
  readonly pages: readonly number[];
  readonly pagesToBlob: number;
}

interface Place {
  readonly pack: PackId;
  readonly blob: BlobLocation;
  readonly blobOffset: number;
}

/** A file of `pages` pages, the last one of `lastBytes`; each generation writes a pack. */
export async function scatteredFile(
  cluster: ClusterRepository,
  made: { readonly pages: number; readonly lastBytes: number; readonly generations: readonly Generation[] },
): Promise<ScatteredFile> {
  const { pages, lastBytes } = made;
  const places: Place[] = [];
  const content = Buffer.alloc(pages * scatteredPage - (pages > 0 ? scatteredPage - lastBytes : 0));
  const all: Generation = { pages: Array.from({ length: pages }, (_, page) => page), pagesToBlob: 8 };
  for (const [number, generation] of [all, ...made.generations].entries()) {
    const pack = await cluster.createPack();
    for (let i = 0; i < generation.pages.length; i += generation.pagesToBlob) {
      const stored = generation.pages.slice(i, i + generation.pagesToBlob);
      for (const page of stored) pageOf(content, page).fill(`page ${page} of backup ${number} `);
      const blob = await pack.append(Buffer.concat(stored.map((page) => pageOf(content, page))));
      let blobOffset = 0;
      for (const page of stored) {
        places[page] = { pack: pack.id, blob, blobOffset };
        blobOffset += pageOf(content, page).length;
      }
    }
    await pack.finish();
  }
  return { extents: joined(places, content), content };
}

function pageOf(content: Buffer, page: number): Buffer {
  return content.subarray(page * scatteredPage, (page + 1) * scatteredPage);
}

/** One extent for pages that follow each other in the file and in a blob. */
function joined(places: readonly Place[], content: Buffer): Extent[] {
  const extents: Extent[] = [];
  for (const [page, { pack, blob, blobOffset }] of places.entries()) {
    const { length } = pageOf(content, page);
    const last = extents.at(-1);
    if (last?.blob === blob && last.blobOffset + last.lengthBytes === blobOffset) {
      extents[extents.length - 1] = { ...last, lengthBytes: last.lengthBytes + length };
    } else {
      extents.push({ fileOffset: page * scatteredPage, lengthBytes: length, pack, blob, blobOffset });
    }
  }
  return extents;
}
