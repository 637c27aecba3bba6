/*
 * Checks that JSON from a repository has the shape that the program expects. A check gives the place
 * and the reason where it has not ("slots[0].salt: expected text"), `undefined` where it has.
 */

export type Check = (value: unknown, place: string) => string | undefined;

export function text(maxLength = 65_536): Check {
  return (value, place) =>
    typeof value === 'string' && value.length <= maxLength ? undefined : `${place}: expected text`;
}

export function matching(pattern: RegExp): Check {
  return (value, place) =>
    typeof value === 'string' && pattern.test(value) ? undefined : `${place}: expected ${pattern.source}`;
}

export function oneOf(...allowed: readonly (string | number)[]): Check {
  return (value, place) =>
    allowed.some((one) => one === value) ? undefined : `${place}: expected ${allowed.join(' or ')}`;
}

export function integer(minimum = 0, maximum: number = Number.MAX_SAFE_INTEGER): Check {
  return (value, place) =>
    Number.isSafeInteger(value) && Number(value) >= minimum && Number(value) <= maximum
      ? undefined
      : `${place}: expected an integer from ${minimum} to ${maximum}`;
}

export const flag: Check = (value, place) =>
  typeof value === 'boolean' ? undefined : `${place}: expected true or false`;

export function optional(check: Check): Check {
  return (value, place) => (value === undefined ? undefined : check(value, place));
}

export function nullable(check: Check): Check {
  return (value, place) => (value === null ? undefined : check(value, place));
}

export function listOf(check: Check, maxLength = 10_000_000): Check {
  return (value, place) => {
    if (!Array.isArray(value) || value.length > maxLength) return `${place}: expected a list`;
    // Places are named where there is a problem: a list of backups has a hundred thousand names of packs.
    const index = value.findIndex((item) => check(item, place) !== undefined);
    return index < 0 ? undefined : check(value[index], `${place}[${index}]`);
  };
}

/** Fields that are not named are let through: a newer pgrecall may have added them. */
export function fields(checks: Readonly<Record<string, Check>>): Check {
  const all = Object.entries(checks);
  return (value, place) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return `${place}: expected an object`;
    const field = (name: string): unknown =>
      Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
    const wrong = all.find(([name, check]) => check(field(name), place) !== undefined);
    return wrong?.[1](field(wrong[0]), `${place}.${wrong[0]}`);
  };
}
