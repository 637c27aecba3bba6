import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { controlCrcOffset, majorOfCatalog, supportedMajors } from './version.ts';

describe('the versions of PostgreSQL', () => {
  it('that pgrecall supports are 14 to 18', () => {
    assert.deepEqual(supportedMajors, [14, 15, 16, 17, 18]);
  });

  it('are known by their catalogs, and no other catalog is taken for one', () => {
    const catalogs = [202107181, 202209061, 202307071, 202406281, 202506291];
    assert.deepEqual(catalogs.map(majorOfCatalog), supportedMajors);
    for (const catalog of [0, 202007201, 202107182, 202406282, 202604061])
      assert.equal(majorOfCatalog(catalog), undefined);
  });

  it('tell where the CRC of pg_control lies', () => {
    assert.deepEqual([1300, 1700, 1800].map(controlCrcOffset), [288, 288, 292]);
    for (const version of [0, 1201, 1301, 1900]) assert.equal(controlCrcOffset(version), undefined);
  });
});
