import assert from 'node:assert/strict';
import { it } from 'node:test';
import { baseBackup } from './base-backup-command.ts';

it('asks for a base backup in the words of each version', () => {
  const label = "it's";
  assert.equal(
    baseBackup({ major: 14, label, incremental: false }),
    "BASE_BACKUP LABEL 'it''s' PROGRESS FAST NOWAIT TABLESPACE_MAP MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'",
  );
  const options =
    "LABEL 'it''s', PROGRESS, CHECKPOINT 'fast', WAIT 0, TABLESPACE_MAP, MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C'";
  assert.equal(baseBackup({ major: 15, label, incremental: false }), `BASE_BACKUP (${options})`);
  assert.equal(baseBackup({ major: 17, label, incremental: true }), `BASE_BACKUP (${options}, INCREMENTAL)`);
});
