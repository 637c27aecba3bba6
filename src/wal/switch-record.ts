import { longHeaderBytes } from './page-header.ts';
import { resourceManagers } from './resource-managers.ts';

/** pg_control.h, XLOG_SWITCH, in the resource manager’s own bits of a record’s info. */
const infoMask = 0xf0;
const switchInfo = 0x40;

/** Whether a record ends its segment: zeros follow. */
export function isSwitch(resourceManager: number, info: number): boolean {
  return resourceManager === resourceManagers.xlog && (info & infoMask) === switchInfo;
}

/**
 * Whether a segment begins with the last `remaining` bytes of a switch record that the one before began: then that takes this one,
 * too (xlog.c, ReserveXLogSwitch), and zeros follow from `endOffset` on. The header of a record is split at a multiple of 8
 * bytes only, so that its info and its resource manager are in the last 8.
 */
export function isRestOfSwitch(segment: Uint8Array, remaining: number, endOffset: number): boolean {
  if (remaining !== 8 && remaining !== 16) return false;
  const at = longHeaderBytes + remaining - 8;
  const [info = 0, resourceManager = -1] = segment.subarray(at, at + 2);
  return isSwitch(resourceManager, info) && segment.subarray(endOffset).every((byte) => byte === 0);
}
