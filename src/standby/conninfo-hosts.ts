import { connectionCandidates, connectionWords } from '../connection/connection-uri.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { formatWords } from './conninfo-plan.ts';
import type { Address } from './follow-address.ts';

/**
 * Where a primary_conninfo or a configured connection leads, in the order in which it is tried; none where it does not say or cannot be
 * read. It may have words that only libpq knows.
 */
export function hostsOf(text: string): readonly Address[] {
  try {
    if (isUri(text)) return addresses(text.trim());
    const words = ['host', 'hostaddr', 'port'].flatMap((name) => {
      const value = new RegExp(`(?<![\\w.])${name}\\s*=\\s*('(?:[^'\\\\]|\\\\.)*'|\\S+)`).exec(text)?.[1];
      return value === undefined ? [] : [`${name}=${value}`];
    });
    return words.some((word) => word.startsWith('host')) ? addresses(words.join(' ')) : [];
  } catch (error) {
    if (hasCode(error, 'config-invalid')) return [];
    throw error;
  }
}

/**
 * The same words, leading to another server; those of a URI by their names, and what only libpq knows as it stands. Throws
 * `config-invalid` for a URI that cannot be read.
 */
export function conninfoTo(conninfo: string, { host, port }: Address): string {
  const there = { host, port: String(port) };
  if (isUri(conninfo)) {
    const { hostaddr: _address, ...words } = connectionWords(conninfo.trim());
    return formatWords({ ...words, ...there });
  }
  const rest = conninfo.replaceAll(/(?<![\w.])(?:host|hostaddr|port)\s*=\s*(?:'(?:[^'\\]|\\.)*'|\S+)\s*/g, '').trim();
  return `${formatWords(there)}${rest === '' ? '' : ` ${rest}`}`;
}

function isUri(text: string): boolean {
  return /^postgres(?:ql)?:\/\//i.test(text.trim());
}

function addresses(text: string): readonly Address[] {
  return connectionCandidates(text).hosts.map(({ host, port }) => ({ host, port }));
}
