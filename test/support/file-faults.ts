import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

/*
 * Lets each change of a file system go wrong in turn: it fails, and with it everything after it, as in a process that is
 * killed there. Before it is done, when half of a write is done, or when it is done but nobody hears of it.
 */

export type FileFaultEffect = 'none' | 'half' | 'done';

const changing = [
  'chmodSync',
  'chownSync',
  'fchmodSync',
  'fchownSync',
  'fsyncSync',
  'ftruncateSync',
  'futimesSync',
  'mkdirSync',
  'openSync',
  'renameSync',
  'rmSync',
  'rmdirSync',
  'symlinkSync',
  'unlinkSync',
  'writeFileSync',
  'writeSync',
] as const;

type Changing = (typeof changing)[number];
type Operation = (...arguments_: unknown[]) => unknown;

export interface CountedChanges {
  /** In order: what was done, and to what. */
  readonly operations: string[];
  /** Whether the fault happened. */
  fired: boolean;
}

/** Runs `act`; the `at`-th change goes wrong, none where it is 0. */
export async function withFileFault(
  at: number,
  effect: FileFaultEffect,
  act: () => Promise<unknown>,
): Promise<CountedChanges & { readonly error: unknown }> {
  const counted: CountedChanges = { operations: [], fired: false };
  const functions = fs as unknown as Record<Changing, Operation>;
  const originals = new Map(changing.map((name) => [name, functions[name]]));
  for (const [name, original] of originals) functions[name] = faulty(name, original, { at, effect }, counted);
  syncBuiltinESMExports();
  try {
    await act();
    return { ...counted, error: undefined };
  } catch (error) {
    return { ...counted, error };
  } finally {
    for (const [name, original] of originals) functions[name] = original;
    syncBuiltinESMExports();
  }
}

function faulty(
  name: Changing,
  original: Operation,
  fault: { readonly at: number; readonly effect: FileFaultEffect },
  counted: CountedChanges,
): Operation {
  return (...arguments_) => {
    if (!changes(name, arguments_)) return original(...arguments_);
    if (counted.fired) throw failure(`${name} after the crash`);
    counted.operations.push(`${name} ${typeof arguments_[0] === 'string' ? arguments_[0] : ''}`);
    if (counted.operations.length !== fault.at) return original(...arguments_);
    counted.fired = true;
    if (fault.effect === 'half') writeHalf(name, original, arguments_);
    if (fault.effect === 'done') original(...arguments_);
    throw failure(name);
  };
}

/** A file that is opened to be read is not changed. */
function changes(name: Changing, arguments_: readonly unknown[]): boolean {
  if (name !== 'openSync') return true;
  const flags = arguments_[1];
  if (typeof flags === 'string') return flags !== 'r';
  return typeof flags === 'number' && (flags & (fs.constants.O_CREAT | fs.constants.O_TRUNC)) !== 0;
}

function writeHalf(name: Changing, original: Operation, arguments_: readonly unknown[]): void {
  const [to, bytes, offset, length, ...rest] = arguments_;
  if (name === 'writeSync' && typeof length === 'number' && length > 1)
    original(to, bytes, offset, length >> 1, ...rest);
  if (name === 'writeFileSync' && (typeof bytes === 'string' || bytes instanceof Uint8Array)) {
    original(to, bytes.slice(0, bytes.length >> 1));
  }
}

function failure(what: string): Error {
  return Object.assign(new Error(`injected: ${what} fails`), { code: 'EIO' });
}
