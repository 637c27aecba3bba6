import { join } from 'node:path';
import type { ReceiveEvent, ReceiveResult } from '../archive/receive-events.ts';
import { ThreadSink } from '../archive/receive-thread.ts';
import { receiveWal } from '../archive/receiver.ts';
import { readWalCatalogue } from '../archive/wal-catalogue.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatLsn, parseLsn } from '../postgres/lsn.ts';
import { checkSlotName, slotNameFor } from '../protocol/replication-command.ts';
import { archiveForThreads, openCluster } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import { flagOption, requiredPositional, secondsOption, textOption } from './options.ts';

const defaultPartialIntervalMs = 60_000;

/** `pgrecall wal receive CLUSTER`: runs until SIGTERM, or until what `--until` or `--idle-exit` says is reached. */
export const runWalReceive: RunCommand = async (arguments_, context) => {
  const { options } = arguments_;
  const until = textOption(options, 'until');
  const idleExitMs = secondsOption(options, 'idleExit');
  const access = await openCluster(context, requiredPositional(arguments_, 'cluster'));
  const { config, cluster, incarnation, store } = access;
  const slot = checkSlotName(config.slot ?? slotNameFor(config.name));
  // Two receivers would write the same files on this host.
  await using lock = await cluster.lock('wal-receive', {
    purpose: 'wal receive',
    now: () => context.now(),
    randomBytes: (length) => context.randomBytes(length),
  });
  void lock;
  await using sink = new ThreadSink(archiveForThreads(access));
  const result = await receiveWal({
    cluster: {
      name: config.name,
      systemIdentifier: incarnation.systemIdentifier,
      segmentBytes: incarnation.segmentBytes,
    },
    connection: config.connection,
    applicationName: `pgrecall_${config.name}`,
    slot,
    // By incarnation: another one’s segments have the same names.
    directory: join(config.stateDirectory, 'receiving', String(incarnation.number)),
    sink,
    archived: async () =>
      (await readWalCatalogue(store)).ranges.map(({ timeline, wholeEndLsn }) => ({ timeline, endLsn: wholeEndLsn })),
    report: (event) => context.stderr(describeEvent(event, slot)),
    now: () => context.now(),
    signal: context.signal,
    partialIntervalMs: secondsOption(options, 'partialInterval') ?? defaultPartialIntervalMs,
    untilLsn: until === undefined ? undefined : parseLsn(until),
    idleExitMs,
    acceptGap: flagOption(options, 'acceptGap'),
  });
  if (context.json) context.stdout(JSON.stringify(asJson(result, config.name, slot), undefined, 2));
  else context.stdout(describeResult(result));
  return 0;
};

function describeEvent(event: ReceiveEvent, slot: string): string {
  switch (event.kind) {
    case 'slot-made':
      return `made the replication slot "${event.slot}"`;
    case 'streaming':
      return `receiving from ${formatLsn(event.startLsn)} on timeline ${event.timeline} through the slot "${slot}" (${beginnings[event.after]})`;
    case 'unrelated':
      return `warning: the archive has WAL, but none of the past of timeline ${event.timeline}, where the server is; it begins anew here`;
    case 'segment-stored':
      return `stored ${event.name}`;
    case 'partial-stored':
      return `stored the beginning of ${event.name}, up to ${formatLsn(event.untilLsn)}`;
    case 'timeline-ended':
      return `timeline ${event.timeline} ended at ${formatLsn(event.switchLsn)}; WAL goes on with timeline ${event.next}`;
    case 'gap-accepted':
      return `warning: the server no longer has the WAL between ${formatLsn(event.fromLsn)} and ${formatLsn(event.toLsn)}: a gap, as --accept-gap allows`;
    case 'lost': {
      const code = event.error instanceof PgrecallError ? event.error.code : 'io';
      return `${code}: ${event.error.message}; trying again in ${event.retryMs / 1000} s`;
    }
  }
}

const beginnings = {
  archive: 'where the archive ends',
  begun: 'the segment begun here',
  branch: 'where the timeline branched off',
  slot: 'from where the slot keeps WAL',
  position: 'where the server is',
} as const;

function describeResult({ flushedLsn, timeline, segmentsStored }: ReceiveResult): string {
  if (flushedLsn === undefined) return 'nothing received';
  return `received up to ${formatLsn(flushedLsn)} on timeline ${timeline}, ${segmentsStored} segments stored`;
}

function asJson(result: ReceiveResult, cluster: string, slot: string): unknown {
  return {
    cluster,
    slot,
    timeline: result.timeline ?? null,
    flushedLsn: result.flushedLsn === undefined ? null : formatLsn(result.flushedLsn),
    segmentsStored: result.segmentsStored,
  };
}
