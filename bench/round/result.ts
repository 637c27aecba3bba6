import type { Measurement } from '../measuring/measure.ts';

export const operations = [
  'backup',
  'restore',
  'archive',
  'fetch',
  'increment',
  'restoreOver',
  'restoreIncrement',
  'restoreFull',
] as const;
export type Operation = (typeof operations)[number];

export interface Result extends Measurement {
  readonly contender: string;
  readonly operation: Operation;
  readonly round: number;
  /** Of the source's server and of what it has started meanwhile, for instance its archive_command. */
  readonly serverSeconds: number;
  /** CPU seconds that neither of them used, and those that the host took away: how much the machine was disturbed. */
  readonly foreignSeconds: number;
  /** What the operation added to the repository; 0 for those that read. */
  readonly storedBytes: number;
}
