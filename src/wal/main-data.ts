import { resourceManagers } from './resource-managers.ts';

const infoMask = 0xf0;
/** pg_control.h: XLOG_FPI_FOR_HINT and XLOG_FPI, which are all image. */
const imageForHint = 0xa0;
const image = 0xb0;

/** Whether more than the block references of such a record is ever read. */
export function isMainDataRead(resourceManager: number, info: number): boolean {
  switch (resourceManager) {
    case resourceManagers.xlog:
      return (info & infoMask) !== imageForHint && (info & infoMask) !== image;
    case resourceManagers.transaction:
    case resourceManagers.storage:
    case resourceManagers.database:
    case resourceManagers.tablespace:
      return true;
    default:
      return false;
  }
}
