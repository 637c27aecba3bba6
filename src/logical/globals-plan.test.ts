import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { planGlobals } from './globals-plan.ts';

const script = String.raw`--
-- PostgreSQL database cluster dump; a comment
--
\restrict a'b"c
SET standard_conforming_strings = on;
CREATE ROLE clerk;
ALTER ROLE clerk WITH NOSUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$4096:a;b''c$d:e';
CREATE ROLE "it's; a
\ ""role""";
ALTER ROLE "it's; a
\ ""role""" SET search_path TO 'a;b';
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER;
ALTER ROLE clerk IN DATABASE gone SET work_mem TO '4MB';
ALTER ROLE clerk IN DATABASE shop SET work_mem TO '4MB';
COMMENT ON ROLE postgres IS 'the one; and only';
GRANT clerk TO postgres GRANTED BY postgres;
GRANT pg_monitor TO postgres GRANTED BY postgres;
GRANT SET ON PARAMETER work_mem TO postgres;
GRANT SET ON PARAMETER work_mem TO clerk;
CREATE TABLESPACE fast OWNER clerk LOCATION '/fast';
CREATE TABLESPACE slow OWNER clerk LOCATION '/slow';
GRANT ALL ON TABLESPACE slow TO clerk;
\unrestrict x
`;

const plan = planGlobals(script, {
  roles: new Set(['postgres', 'pg_monitor']),
  tablespaces: new Set(['slow']),
  databases: new Set(['shop']),
});

describe('the globals of a dump', () => {
  it('are made where the server lacks them, and left as they are where it has them', () => {
    assert.deepEqual(plan.roles, { made: ['clerk', `it's; a\n\\ "role"`], kept: ['postgres'] });
    assert.deepEqual(plan.tablespaces, { made: ['fast'], kept: ['slow'] });
    assert.deepEqual(
      plan.statements.map(({ sql }) => sql.replaceAll('\n', ' ').slice(0, 44)),
      [
        'SET standard_conforming_strings = on',
        'CREATE ROLE clerk',
        'ALTER ROLE clerk WITH NOSUPERUSER LOGIN PASS',
        String.raw`CREATE ROLE "it's; a \ ""role"""`,
        String.raw`ALTER ROLE "it's; a \ ""role""" SET search_p`,
        'ALTER ROLE clerk IN DATABASE shop SET work_m',
        'GRANT clerk TO postgres GRANTED BY postgres',
        'GRANT SET ON PARAMETER work_mem TO clerk',
      ],
    );
    assert.deepEqual(
      plan.tablespaceStatements.map(({ sql }) => sql),
      ["CREATE TABLESPACE fast OWNER clerk LOCATION '/fast'"],
    );
  });

  it('are spoken of without their passwords', () => {
    const told = JSON.stringify([...plan.statements, ...plan.tablespaceStatements].map(({ about }) => about));
    assert.doesNotMatch(told, /SCRAM/);
    assert.match(told, /ALTER ROLE clerk/);
  });
});
