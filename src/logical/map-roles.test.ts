import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mapGrantedRoles, parseRoleMap } from './map-roles.ts';

describe('roles that are called otherwise', () => {
  it('are found in what is granted, and nowhere else', () => {
    const roles = new Map([
      ['clerk', 'new "clerk"'],
      ['a b', 'c'],
    ]);
    for (const [sql, expected] of [
      [
        'GRANT SELECT ON TABLE public.clerk TO clerk WITH GRANT OPTION;',
        'GRANT SELECT ON TABLE public.clerk TO "new ""clerk""" WITH GRANT OPTION;',
      ],
      ['GRANT SELECT(clerk) ON TABLE "x TO clerk" TO "a b";', 'GRANT SELECT(clerk) ON TABLE "x TO clerk" TO "c";'],
      ['REVOKE ALL ON SCHEMA public FROM PUBLIC;', 'REVOKE ALL ON SCHEMA public FROM PUBLIC;'],
      [
        'SET SESSION AUTHORIZATION clerk;\nGRANT ALL ON TABLE t TO bob;\nRESET SESSION AUTHORIZATION;',
        'SET SESSION AUTHORIZATION "new ""clerk""";\nGRANT ALL ON TABLE t TO bob;\nRESET SESSION AUTHORIZATION;',
      ],
      [
        "CREATE POLICY p ON public.t TO bob, clerk USING ((EXISTS ( SELECT 1 FROM clerk WHERE (x = 'TO clerk'::text))));",
        'CREATE POLICY p ON public.t TO bob, "new ""clerk""" USING ((EXISTS ( SELECT 1 FROM clerk WHERE (x = \'TO clerk\'::text))));',
      ],
      [
        'ALTER DEFAULT PRIVILEGES FOR ROLE clerk IN SCHEMA clerk GRANT SELECT ON TABLES  TO PUBLIC;',
        'ALTER DEFAULT PRIVILEGES FOR ROLE "new ""clerk""" IN SCHEMA clerk GRANT SELECT ON TABLES  TO PUBLIC;',
      ],
    ] as const) {
      assert.equal(mapGrantedRoles(sql, roles), expected);
    }
  });

  it('are said as OLD=NEW, in quotes where there is need', () => {
    assert.deepEqual(
      [...parseRoleMap(['a=b', '"c=""d"="e f"', 'x y=z=1'])],
      [
        ['a', 'b'],
        ['c="d', 'e f'],
        ['x y', 'z=1'],
      ],
    );
    for (const word of ['a', '=b', 'a=', '"a=b']) assert.throws(() => parseRoleMap([word]), /expected OLD=NEW/);
  });
});
