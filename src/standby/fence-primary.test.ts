import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { madeUpControl } from '../../test/support/made-up-cluster.ts';
import { identifier } from '../../test/support/test-archive.ts';
import { timeline } from '../postgres/timeline.ts';
import { decideFence, findPrimary, type PrimaryState } from './fence-primary.ts';

describe('a primary whose addresses are silent', () => {
  /** The configured directory, which nobody runs on, is on timeline 1. */
  async function found(standbysTimeline: number): Promise<PrimaryState> {
    const place = mkdtempSync(join(tmpdir(), 'pgrecall-'));
    try {
      for (const name of ['main', 'standby']) mkdirSync(join(place, name, 'global'), { recursive: true });
      writeFileSync(join(place, 'main', 'global', 'pg_control'), madeUpControl());
      const { primary } = await findPrimary({
        systemIdentifier: String(identifier),
        connection: `host=${place} port=5432 user=postgres`,
        dataDirectory: join(place, 'main'),
        standby: {
          ...{ directory: join(place, 'standby'), signature: 'its own', conninfo: '' },
          timeline: timeline(standbysTimeline),
        },
      });
      return primary;
    } finally {
      rmSync(place, { recursive: true });
    }
  }

  it('is stopped where its data directory is here, and nobody runs on it', async () => {
    const primary = await found(1);
    assert.equal(primary.kind, 'at-rest');
    assert.deepEqual(decideFence(primary, { stop: false, isDead: false }), { stop: undefined });
  });

  it('may live where that is of an earlier primary, from before the last failover', async () => {
    const primary = await found(2);
    assert.equal(primary.kind, 'silent');
    assert.throws(() => decideFence(primary, { stop: false, isDead: false }), { code: 'primary-alive' });
  });
});
