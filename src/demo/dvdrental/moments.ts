/* Times of the sample's world, in seconds since 1970-01-01, written without a zone. */

const minute = 60;
export const hour = 60 * minute;
export const day = 24 * hour;

/** The shops open for the first time at midnight before this day, and the sample ends a year later. */
export const openingDay = Date.UTC(2005, 1, 14) / 1000;
export const closingDay = openingDay + 365 * day;

/** When all that never changed again was written. */
export const setUpAt = formatMoment(openingDay - 12 * hour);

/** `2005-02-14 10:00:00`. */
export function formatMoment(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ');
}

/** `2005-02-14`. */
export function formatDay(seconds: number): string {
  return formatMoment(seconds).slice(0, 10);
}
