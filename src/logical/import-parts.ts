/* Parts of a file that was split, as split and others number them: `x.000`, `x.001`; `x.aa`, `x.ab`. */

/** The part after `name`; undefined where it is no part of anything. */
function nextPart(name: string): string | undefined {
  const [, stem, number] = /^(.*\.)(\d{2,}|[a-z]{2,3})$/s.exec(name) ?? [];
  if (stem === undefined || number === undefined) return undefined;
  if (/\d/.test(number)) return `${stem}${String(Number(number) + 1).padStart(number.length, '0')}`;
  const letters = number.split('');
  for (let at = letters.length - 1; at >= 0; at -= 1) {
    if (letters[at] !== 'z') {
      letters[at] = String.fromCodePoint((letters[at]?.codePointAt(0) ?? 0) + 1);
      return stem + letters.join('');
    }
    letters[at] = 'a';
  }
  return undefined;
}

/** Endings that first parts have. */
export const firstParts: readonly string[] = ['.000', '.00', '.001', '.01', '.0000', '.00000', '.aa', '.aaa'];

/**
 * The parts that belong to `first` among the names of its directory, in order: `first` alone where it is no part. `missing` is
 * one without which others are there.
 */
export function partsFrom(
  first: string,
  names: readonly string[],
): { readonly parts: readonly string[]; readonly missing: string | undefined } {
  if (!firstParts.some((ending) => first.endsWith(ending))) return { parts: [first], missing: undefined };
  const there = new Set(names);
  const parts = [first];
  for (let next = nextPart(first); next !== undefined && there.has(next); next = nextPart(next)) parts.push(next);
  const stem = first.slice(0, first.lastIndexOf('.') + 1);
  const width = first.length - stem.length;
  const last = parts.at(-1) ?? first;
  // Letters may be the ending of something else: x.gz.
  const isPart = (name: string): boolean =>
    name.startsWith(stem) && name.length === stem.length + width && /^\d+$/.test(name.slice(stem.length));
  return { parts, missing: names.some((name) => isPart(name) && name > last) ? nextPart(last) : undefined };
}

/** Names that a pattern with `*` and `?` has found, as parts: numbers by their values. */
export function sortParts(names: readonly string[]): readonly string[] {
  const numberOf = (name: string): number => Number(/(\d+)$/.exec(name)?.[1] ?? Number.NaN);
  return names.toSorted((a, b) => {
    const difference = numberOf(a) - numberOf(b);
    return difference || (a < b ? -1 : a > b ? 1 : 0);
  });
}
