import { fields, integer, listOf, matching, text, type Check } from './json-shape.ts';

/** One life of a cluster: pg_upgrade and initdb begin another. */
export interface Incarnation {
  /** 1, 2, … */
  readonly number: number;
  /** In decimal, as PostgreSQL prints it. */
  readonly systemIdentifier: string;
  readonly postgresMajor: number;
  /** Size of its WAL segments. */
  readonly segmentBytes: number;
  /** ISO 8601, UTC. */
  readonly since: string;
}

/** `cluster.json`. */
export interface ClusterDocument {
  readonly name: string;
  readonly incarnations: Incarnation[];
}

export const checkClusterDocument: Check = fields({
  name: text(63),
  incarnations: listOf(
    fields({
      number: integer(1, 1_000_000),
      systemIdentifier: matching(/^\d{1,20}$/),
      postgresMajor: integer(1, 1000),
      segmentBytes: integer(1_048_576, 1_073_741_824),
      since: text(64),
    }),
    10_000,
  ),
});
