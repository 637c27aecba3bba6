/** What differs between the major versions that pgrecall supports, in one place. */

interface MajorVersion {
  readonly major: number;
  /** `CATALOG_VERSION_NO` of the release (catalog/catversion.h); it never changes within a major version. */
  readonly catalogVersion: number;
  /** `PG_CONTROL_VERSION` (catalog/pg_control.h). */
  readonly controlVersion: number;
  /** Where pg_control's own CRC lies (`offsetof(ControlFileData, crc)`). */
  readonly controlCrcOffset: number;
}

const versions: readonly MajorVersion[] = [
  { major: 14, catalogVersion: 202107181, controlVersion: 1300, controlCrcOffset: 288 },
  { major: 15, catalogVersion: 202209061, controlVersion: 1300, controlCrcOffset: 288 },
  { major: 16, catalogVersion: 202307071, controlVersion: 1300, controlCrcOffset: 288 },
  { major: 17, catalogVersion: 202406281, controlVersion: 1700, controlCrcOffset: 288 },
  { major: 18, catalogVersion: 202506291, controlVersion: 1800, controlCrcOffset: 292 },
];

export const supportedMajors: readonly number[] = versions.map(({ major }) => major);

/** `undefined` for a catalog that is not one of a supported release. */
export function majorOfCatalog(catalogVersion: number): number | undefined {
  return versions.find((version) => version.catalogVersion === catalogVersion)?.major;
}

/** `undefined` for a pg_control that is not of a supported release. */
export function controlCrcOffset(controlVersion: number): number | undefined {
  return versions.find((version) => version.controlVersion === controlVersion)?.controlCrcOffset;
}
