import type { Contender } from '../contenders/contender.ts';
import { operations, type Operation, type Result } from './result.ts';

/** Results as Markdown: a table for each operation, with ratios to pgrecall in the same round. */
export function formatReport(
  results: readonly Result[],
  options: {
    readonly contenders: readonly Contender[];
    readonly sourceBytes: number;
    readonly segments: number;
  },
): string {
  return operations
    .filter((operation) => results.some((result) => result.operation === operation))
    .map((operation) => [`### ${headings[operation]}`, '', ...table(operation, results, options)].join('\n'))
    .join('\n\n');
}

const headings: Readonly<Record<Operation, string>> = {
  backup: 'Full backup',
  restore: 'Restore',
  archive: 'Archiving WAL through archive_command',
  fetch: 'Fetching WAL through restore_command',
  increment: 'Incremental after a change of 2 % of the pages',
  restoreOver: 'Restore of it in place, over the backup before',
  restoreIncrement: 'Restore after the last increment',
  restoreFull: 'Restore of a full backup of the same state',
};

const reference = 'pgrecall';

function table(
  operation: Operation,
  results: readonly Result[],
  options: Parameters<typeof formatReport>[1],
): readonly string[] {
  const of = (name: string): Result[] =>
    results.filter((result) => result.operation === operation && result.contender === name);
  const own = of(reference);
  const wal = operation === 'archive' || operation === 'fetch';
  const backsUp = operation === 'backup' || operation === 'increment';
  const writes = backsUp || operation === 'archive';
  const heads = ['', 'wall s', 'CPU s', 'wall ×', 'CPU ×'];
  if (wal) heads.push('segments/s');
  if (operation === 'backup') heads.push('MB/s');
  if (backsUp) heads.push('server CPU s');
  if (writes) heads.push('stored MB', 'stored ×');
  heads.push('peak MB', 'disturbed');
  const rows = options.contenders
    .map(({ name }) => ({ name, found: of(name) }))
    .filter(({ found }) => found.length > 0)
    .map(({ name, found }) => {
      const cells = [name, median(found, wall).toFixed(2), median(found, cpu).toFixed(2)];
      cells.push(ratio(found, own, wall), ratio(found, own, cpu));
      if (wal) cells.push((options.segments / median(found, wall)).toFixed(1));
      if (operation === 'backup') cells.push((options.sourceBytes / 1e6 / median(found, wall)).toFixed(0));
      if (backsUp) {
        cells.push(median(found, ({ serverSeconds }) => serverSeconds).toFixed(2));
      }
      if (writes) cells.push((median(found, stored) / 1e6).toFixed(backsUp ? 1 : 0), ratio(found, own, stored));
      const process = megabytes(median(found, ({ peakBytes }) => peakBytes));
      const tree = megabytes(median(found, ({ peakTreeBytes }) => peakTreeBytes));
      const disturbed = median(found, (result) => result.foreignSeconds / result.wallSeconds);
      cells.push(`${process} / ${tree}`, `${(disturbed * 100).toFixed(0)} %`);
      return row(cells);
    });
  return [row(heads), row(['---', ...heads.slice(1).map(() => '---:')]), ...rows];
}

const wall = ({ wallSeconds }: Result): number => wallSeconds;
const cpu = ({ userSeconds, systemSeconds }: Result): number => userSeconds + systemSeconds;
const stored = ({ storedBytes }: Result): number => storedBytes;

/** The median over the rounds of what a contender took as a multiple of what pgrecall took in the same one. */
function ratio(found: readonly Result[], own: readonly Result[], value: (result: Result) => number): string {
  const ratios = found.flatMap((result) => {
    const other = own.find(({ round }) => round === result.round);
    return other ? [value(result) / value(other)] : [];
  });
  return ratios.length === 0 ? '' : middle(ratios).toFixed(2);
}

function median(results: readonly Result[], value: (result: Result) => number): number {
  return middle(results.map(value));
}

function middle(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  const [low = NaN, high = NaN] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[half]];
  return (low + high) / 2;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}
