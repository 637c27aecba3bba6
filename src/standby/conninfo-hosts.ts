import { connectionCandidates } from '../connection/connection-uri.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import type { Address } from './follow-address.ts';

/**
 * Where a primary_conninfo or a configured connection leads, in the order in which it is tried; none where it does not say or cannot be
 * read. It may have words that only libpq knows.
 */
export function hostsOf(text: string): readonly Address[] {
  try {
    if (/^postgres(?:ql)?:\/\//i.test(text.trim())) return addresses(text);
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

function addresses(text: string): readonly Address[] {
  return connectionCandidates(text).hosts.map(({ host, port }) => ({ host, port }));
}
