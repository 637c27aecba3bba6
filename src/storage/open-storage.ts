import { LocalStorage } from './local.ts';
import type { Storage, StorageLocation } from './storage.ts';

/** The storage at `location`; no I/O. */
export function openStorage(location: StorageLocation): Storage {
  return new LocalStorage(location.directory);
}
