import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Whether the server of this directory is, or will be when it starts, a standby. */
export function isStandby(dataDirectory: string): boolean {
  return existsSync(join(dataDirectory, 'standby.signal'));
}
