import type { Machine } from './machine.ts';
import type { Run } from './race.ts';
import type { Syncs } from './syncs.ts';

/** What a run of the benchmark found: the content of docs/performance.json. */
export type Report = {
  readonly date: string;
  readonly command: string;
  readonly machine: Machine;
  readonly turns: number;
  readonly contenders: readonly Entrant[];
  /** The names of those that are not installed. */
  readonly absent: readonly string[];
  readonly races: readonly Race[];
  readonly figures: readonly Figure[];
};

/** A contender that took part. */
export type Entrant = {
  readonly name: string;
  readonly kind: 'ours' | 'rival' | 'floor';
  readonly version: string;
  readonly makes: string;
  readonly syncs: Syncs;
};

/** A step of a row, with the runs of all its contenders. */
export type Race = {
  readonly kind: 'pull' | 'read';
  readonly name: string;
  readonly title: string;
  readonly bar?: { readonly wall?: number; readonly cpu?: number };
  readonly runs: readonly Omit<Run, 'step'>[];
};

/** What was measured of the driver alone. `floor`: of something that does less. `most`: what is permitted. */
export type Figure = {
  readonly row: string;
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly floor?: { readonly what: string; readonly value: number };
  readonly most?: number;
};
