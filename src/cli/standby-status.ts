import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SqlSession } from '../connection/sql-session.ts';
import { connectionTo } from '../connection/connection-uri.ts';
import type { ClusterConfig } from '../config/config.ts';
import { slotNameFor } from '../protocol/replication-command.ts';
import { askAt, askStandby } from '../standby/ask-standby.ts';
import { notedStandbys } from '../standby/known-standbys.ts';
import { readPrimaryView } from '../standby/read-senders.ts';
import { unseenWarning, viewStandbys, viewUnseen, type PrimaryView, type StandbyLine } from '../standby/status-plan.ts';
import type { RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { flagOption, requiredPositional, secondsOption } from './options.ts';
import { actingAs, ownerOf } from './privileges.ts';
import { describeStatus, type AskedLine, type StatusDocument } from './standby-status-report.ts';

const defaultIntervalMs = 2000;

/** `pgrecall standby status CLUSTER`: needs the primary, not the repository. */
export const runStandbyStatus: RunCommand = async (arguments_, context) => {
  const config = await context.cluster(requiredPositional(arguments_, 'cluster'));
  const intervalMs = secondsOption(arguments_.options, 'interval') ?? defaultIntervalMs;
  if (!flagOption(arguments_.options, 'watch')) {
    answer(await readStatus(config), context);
    return 0;
  }
  while (!context.signal.aborted) {
    const status = await readStatus(config);
    if (context.terminal && !context.json) context.stdout('\u001B[H\u001B[2J');
    answer(status, context);
    await sleep(intervalMs, undefined, { signal: context.signal }).catch(() => undefined);
  }
  return 0;
};

function answer(status: StatusDocument, context: CliContext): void {
  context.stdout(context.json ? JSON.stringify(status, undefined, 2) : describeStatus(status));
}

/** As root, as the owner of the repository, who may have a password file, or be let in by his name. */
async function readStatus(config: ClusterConfig): Promise<StatusDocument> {
  return actingAs(ownerOf(config.repositoryDirectory), async () => {
    await using session = await SqlSession.connect(config.connection, { applicationName: 'pgrecall status' });
    const view = await readPrimaryView(session);
    const { standbys, slots, warnings } = viewStandbys(view, receiversOf(config));
    const noted = notedStandbys(config.stateDirectory);
    const port = Number(session.address.split(':').at(-1));
    const lines = await Promise.all(standbys.map(async (line) => ask(line, { config, noted, port })));
    const unseen = await lookAtUnseen(noted, { config, view, seen: new Set(standbys.map(({ name }) => name)) });
    const atStandby = `the server at ${session.address} is a standby: shown are those that follow it`;
    return {
      cluster: config.name,
      primary: { address: session.address, ...primaryFacts(view) },
      standbys: [...lines, ...unseen.lines],
      slots,
      warnings: [...(view.inRecovery ? [atStandby] : []), ...warnings, ...unseen.warnings],
    };
  });
}

function receiversOf({ name }: ClusterConfig): string[] {
  return [`pgrecall_${name}`, slotNameFor(name), 'pgrecall', 'pg_receivewal'];
}

function primaryFacts(view: PrimaryView): Omit<StatusDocument['primary'], 'address'> {
  return {
    synchronousStandbyNames: view.synchronousNames,
    slotLimitBytes: view.slotLimitBytes ?? null,
    freeBytes: view.freeBytes ?? null,
  };
}

/** Standbys that were made on this host, and that do not stream from this server. */
async function lookAtUnseen(
  noted: ReadonlyMap<string, string>,
  { config, view, seen }: { config: ClusterConfig; view: PrimaryView; seen: ReadonlySet<string> },
): Promise<{ readonly lines: readonly AskedLine[]; readonly warnings: readonly string[] }> {
  const lines: AskedLine[] = [];
  const warnings: string[] = [];
  for (const [name, directory] of noted) {
    if (seen.has(name) || !existsSync(join(directory, 'standby.signal'))) continue;
    const answered = await askStandby(directory, config.connection);
    const asked = answered instanceof Error ? undefined : answered;
    lines.push({
      ...viewUnseen({ name, asked }, view),
      lagSeconds: asked?.sinceLastCommitSeconds ?? null,
      delaySeconds: asked?.delaySeconds ?? null,
      conflicts: asked?.conflicts ?? null,
      notAsked: answered instanceof Error ? answered.message : null,
    });
    const warning = unseenWarning({ name, asked }, view);
    if (warning !== undefined) warnings.push(warning);
  }
  return { lines, warnings };
}

/** On this host by its directory, elsewhere by the address that it came from: at the port of the primary, most likely. */
async function ask(
  line: StandbyLine,
  { config, noted, port }: { config: ClusterConfig; noted: ReadonlyMap<string, string>; port: number },
): Promise<AskedLine> {
  const directory = noted.get(line.name);
  const asked =
    directory !== undefined
      ? await askStandby(directory, config.connection)
      : line.address === null
        ? new Error('it was not made on this host, and its port is not known')
        : await askAt(connectionTo(config.connection, { host: line.address, port }));
  if (asked instanceof Error) {
    return { ...line, delaySeconds: null, conflicts: null, notAsked: asked.message };
  }
  const { conflicts, delaySeconds, sinceLastCommitSeconds } = asked;
  return { ...line, lagSeconds: line.lagSeconds ?? sinceLastCommitSeconds, delaySeconds, conflicts, notAsked: null };
}
