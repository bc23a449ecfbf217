import type { PrefetchRow } from '../../ports/prefetch.ts';
import { shorten } from '../../util/name.ts';
import type { PrefetchKind, PrefetchResource } from './resource.ts';

/** How far a prefetch is on a node, as its NodeArtifacts says. */
export type NodeRow = {
  readonly kind: PrefetchKind;
  readonly namespace?: string;
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  readonly state: 'Waiting' | 'Pulling' | 'Ready' | 'Failed';
  readonly artifacts: number;
  readonly readyArtifacts: number;
  /** Of the pulls in progress. */
  readonly bytes: number;
  readonly totalBytes: number;
  readonly message?: string;
};

const longestMessage = 512;

/** @param rows those of the prefetch. Before they are known, all of its artifacts wait. */
export function toNodeRow(resource: PrefetchResource, rows: readonly PrefetchRow[]): NodeRow {
  const { kind, namespace, name, uid, generation, spec } = resource;
  const artifacts = spec.kind === 'right' ? spec.entries.length : 0;
  // What was ready stays in the cache while its tag is resolved again.
  const ready = rows.filter(({ status }) => status.digest !== undefined);
  const open = rows.filter(({ status }) => status.digest === undefined);
  const pulling = open.filter(({ status }) => status.state === 'pulling');
  const failed = open.filter(({ status }) => status.state === 'failed');
  const problems = [...failed, ...open, ...ready].flatMap(({ status }) => status.problem ?? []);
  const problem = spec.kind === 'broken' ? spec.why : problems[0];
  return {
    kind,
    ...(namespace === undefined ? {} : { namespace }),
    name,
    uid,
    generation,
    state: stateOf(spec.kind === 'broken', artifacts, ready.length, open),
    artifacts,
    readyArtifacts: ready.length,
    bytes: sum(pulling.map(({ bytes }) => bytes)),
    totalBytes: sum(pulling.map(({ totalBytes }) => totalBytes)),
    ...(problem === undefined ? {} : { message: shorten(problem, longestMessage) }),
  };
}

function stateOf(
  isBroken: boolean,
  artifacts: number,
  ready: number,
  open: readonly PrefetchRow[],
): NodeRow['state'] {
  const has = (state: string): boolean => open.some(({ status }) => status.state === state);
  if (isBroken || has('failed')) return 'Failed';
  if (has('pulling')) return 'Pulling';
  return ready === artifacts ? 'Ready' : 'Waiting';
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
