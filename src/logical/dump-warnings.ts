import { optionsWithoutEffect } from './dump-arguments.ts';
import type { DumpOptions } from './dumping.ts';

interface WarnedOptions extends Pick<DumpOptions, 'format'> {
  readonly selection: Pick<DumpOptions['selection'], 'options'>;
  readonly programs: Pick<DumpOptions['programs'], 'major' | 'version'>;
  readonly facts: Pick<DumpOptions['facts'], 'major'>;
}

/** What was asked for in vain, and what may not load where it comes from. */
export function warnOfOptions({ format, selection, programs, facts }: WarnedOptions): readonly string[] {
  const vain = optionsWithoutEffect(format, selection.options).join(' ');
  return [
    ...(vain === ''
      ? []
      : [`${vain}: without effect in the format ${format}; say it when the dump is loaded (load … -- ${vain})`]),
    ...(format === 'plain' && programs.major > facts.major
      ? [
          `the script is of pg_dump ${programs.version}: a server of PostgreSQL ${facts.major} may not know what it sets, and refuse it; install postgresql-client-${facts.major}, or dump in another format`,
        ]
      : []),
  ];
}
