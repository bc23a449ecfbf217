import { matchesLabels } from '../../configfile/label-selector.ts';
import type { Labels } from '../../ports/kube.ts';
import type { PrefetchEntry } from '../../ports/prefetch.ts';
import { selectedNodes } from './prefetch-status.ts';
import type { ReadPullSecrets } from './pull-secrets.ts';
import type { PrefetchResource } from './resource.ts';

/** A turn with one of so many slots of a prefetch; undefined while this node has none, which asks for one. */
export type TakeSlot = (uid: string, slots: number) => Disposable | undefined;

/** Whether a prefetch is for nodes with these labels. One that cannot be read is, so that each node says why. */
export function selectsNode({ spec }: PrefetchResource, labels: Labels): boolean {
  return spec.kind === 'broken' || matchesLabels(spec.nodeSelector, labels);
}

/** The entries of a prefetch that selects this node. */
export function toEntries(
  resource: PrefetchResource,
  readSecrets: ReadPullSecrets,
  takeSlot: TakeSlot,
): readonly PrefetchEntry[] {
  const { spec, uid, generation, namespace } = resource;
  if (spec.kind === 'broken') return [];
  const { maxParallelNodes, deadlineAt, priority } = spec;
  const owner = {
    uid,
    generation,
    priority,
    ...(namespace === undefined ? {} : { namespace }),
    ...(deadlineAt === undefined ? {} : { deadlineAt }),
    secrets: (signal: AbortSignal) => readSecrets(spec.pullSecrets, signal),
    turn: () => (maxParallelNodes === undefined ? free : takeSlot(uid, countSlots(resource))),
  };
  return spec.entries.map(entry => ({ ...entry, nodeSelector: {}, resource: owner }));
}

const free: Disposable = { [Symbol.dispose]() {} };

/** How many nodes may pull at once. A percentage is of the nodes that were selected when they were counted last. */
export function countSlots({ spec, status }: PrefetchResource): number {
  const limit = spec.kind === 'right' ? spec.maxParallelNodes : undefined;
  if (limit === undefined) return Infinity;
  const nodes =
    limit.kind === 'nodes' ? limit.count : Math.floor((selectedNodes(status) * limit.count) / 100);
  return Math.max(1, nodes);
}
