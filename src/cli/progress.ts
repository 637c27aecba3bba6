import type { CliContext } from './context.ts';
import { formatBytes, formatDuration } from './format.ts';

/** Shows how far a long operation is. */
export interface Progress {
  /** The expected total, once known. */
  readonly total: (bytes: number) => void;
  readonly advance: (bytes: number) => void;
  /** What goes on now, beside the bytes; told when the line is. */
  readonly note: (text: string) => void;
  /** Says what goes on now, in place of the bar until the next advance. */
  readonly say: (text: string) => void;
  /** Takes the line away. */
  readonly end: () => void;
}

const redrawMs = 100;
const plainLineMs = 10_000;

/** On a terminal a bar that redraws itself, with rate and time left; otherwise a plain line now and then. */
export function startProgress(context: CliContext, title: string): Progress {
  const startedMs = context.now().getTime();
  let totalBytes = 0;
  let doneBytes = 0;
  let drawnMs = context.terminal ? 0 : startedMs;
  let drawn = false;
  let noted = '';

  const line = (nowMs: number): string => {
    const seconds = Math.max((nowMs - startedMs) / 1000, 0.001);
    const rate = doneBytes / seconds;
    const parts = [formatBytes(doneBytes), `${formatBytes(rate)}/s`];
    if (totalBytes > 0) {
      const share = Math.min(doneBytes / totalBytes, 1);
      parts[0] = `${Math.floor(share * 100)} % of ${formatBytes(totalBytes)}`;
      if (rate > 0) parts.push(`${formatDuration(Math.max(totalBytes - doneBytes, 0) / rate)} left`);
      if (context.terminal) parts.unshift(bar(share));
    }
    if (noted !== '') parts.push(noted);
    return `${title}  ${parts.join('  ')}`;
  };
  const draw = (text: string): void => {
    if (context.terminal) context.stderrRaw(`\r\u001B[2K${text}`);
    else context.stderr(text);
    drawn = true;
  };
  const drawNowAndThen = (): void => {
    const nowMs = context.now().getTime();
    if (nowMs - drawnMs < (context.terminal ? redrawMs : plainLineMs)) return;
    drawnMs = nowMs;
    draw(line(nowMs));
  };
  return {
    total: (bytes) => {
      totalBytes = bytes;
    },
    advance: (bytes) => {
      doneBytes += bytes;
      drawNowAndThen();
    },
    note: (text) => {
      noted = text;
      drawNowAndThen();
    },
    say: (text) => draw(`${title}  ${text}`),
    end: () => {
      if (context.terminal && drawn) context.stderrRaw('\r\u001B[2K');
    },
  };
}

function bar(share: number): string {
  const width = 24;
  const full = Math.round(share * width);
  return `[${'#'.repeat(full)}${'.'.repeat(width - full)}]`;
}
