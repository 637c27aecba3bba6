import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { treeAnonymousBytes } from './process-tree.ts';

/** A command for /bin/sh; `rename`: what the server would rename once it is done. */
export interface Step {
  readonly command: string;
  readonly rename?: { readonly from: string; readonly to: string };
}

export interface MeasureOptions {
  readonly steps: readonly Step[];
  readonly env: NodeJS.ProcessEnv;
  /** An absolute path; the report of a measurement lies there for a moment. */
  readonly workDirectory: string;
  readonly cwd?: string;
  /** Takes what the commands print. */
  readonly logFile: string;
}

export interface Measurement {
  /** From the beginning of the first step to the end of the last one. */
  readonly wallSeconds: number;
  /** Until every process that was started had ended, detached ones too. */
  readonly endSeconds: number;
  /** Of all these processes, like the next two. */
  readonly userSeconds: number;
  readonly systemSeconds: number;
  /** Peak resident memory of the largest one, shared pages counted. */
  readonly peakBytes: number;
  /** Peak of the sum of their own (anonymous) memory, looked at ten times a second. */
  readonly peakTreeBytes: number;
}

const runSteps = fileURLToPath(new URL('run-steps.pl', import.meta.url));
const samplePeriodMs = 100;

/** Runs the steps one after the other as a server would. Throws where one fails, with the end of the log. */
export async function measure(options: MeasureOptions): Promise<Measurement> {
  const { steps, env, workDirectory, cwd = '/', logFile } = options;
  const reportFile = join(workDirectory, 'measurement.json');
  rmSync(reportFile, { force: true });
  const log = openSync(logFile, 'a', 0o644);
  const child = spawn('perl', [runSteps, reportFile], { cwd, env, stdio: ['pipe', log, log] });
  let peakTreeBytes = 0;
  const sampler = setInterval(() => {
    if (child.pid !== undefined) peakTreeBytes = Math.max(peakTreeBytes, treeAnonymousBytes(child.pid));
  }, samplePeriodMs);
  try {
    const ended = new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', () => resolve());
    });
    child.stdin?.end(steps.map(stepLine).join(''));
    await ended;
  } finally {
    clearInterval(sampler);
    closeSync(log);
  }
  const report = readReport(reportFile, logFile);
  if (report.status !== 0) {
    const step = steps[report.failedStep - 1];
    throw new Error(`exit status ${report.status} of: ${step?.command}\n${endOfLog(logFile)}`);
  }
  const { status: _status, failedStep: _failedStep, ...measured } = report;
  return { ...measured, peakTreeBytes };
}

function stepLine({ command, rename }: Step): string {
  const fields = rename ? [command, rename.from, rename.to] : [command];
  if (fields.some((field) => /[\t\n]/.test(field))) throw new Error(`a tab or a newline in: ${command}`);
  return `${fields.join('\t')}\n`;
}

interface Report extends Omit<Measurement, 'peakTreeBytes'> {
  readonly status: number;
  readonly failedStep: number;
}

function readReport(reportFile: string, logFile: string): Report {
  try {
    return JSON.parse(readFileSync(reportFile, 'utf8')) as Report;
  } catch (error) {
    throw new Error(`the commands could not be run:\n${endOfLog(logFile)}`, { cause: error });
  }
}

function endOfLog(logFile: string): string {
  return readFileSync(logFile, 'utf8').split('\n').slice(-20).join('\n');
}
