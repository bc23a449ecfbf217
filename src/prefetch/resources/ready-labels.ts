import type { Labels } from '../../ports/kube.ts';
import type { NodeRow } from './node-row.ts';
import { group, type PrefetchResource } from './resource.ts';

/** Labels of prefetches that a node has at most. */
const mostLabels = 30;
const value = 'ready';

/** The label of nodes that have a prefetch: that of a namespace has the namespace before the group. */
function labelOf({ namespace, name }: Pick<PrefetchResource, 'namespace' | 'name'>): string {
  return `${namespace === undefined ? '' : `${namespace}.`}${group}/${name}`;
}

/**
 * The labels for what is ready and stays in the cache: those of the cluster, and then one of each namespace after the
 * other. Of each, those with the highest priority come first, and then in the order of names.
 */
export function toReadyLabels(
  prefetches: readonly { readonly resource: PrefetchResource; readonly row: NodeRow }[],
): Labels {
  const kept = prefetches.flatMap(({ resource, row }) => {
    const { spec } = resource;
    const stays = spec.kind === 'right' && spec.entries.every(({ keep }) => keep);
    const { namespace } = resource;
    return stays && row.state === 'Ready'
      ? [{ key: labelOf(resource), priority: spec.priority, namespace }]
      : [];
  });
  const ordered = kept.toSorted((a, b) => b.priority - a.priority || (a.key < b.key ? -1 : 1));
  const byNamespace = Map.groupBy(ordered, ({ namespace }) => namespace);
  const first = [...byNamespace.values()]
    .flatMap(own =>
      own.map(({ key, namespace }, index) => ({ key, round: namespace === undefined ? -1 : index })),
    )
    .toSorted((a, b) => a.round - b.round);
  return Object.fromEntries(first.slice(0, mostLabels).map(({ key }) => [key, value]));
}

/** What to change of a node's labels, as a merge patch has it; undefined for nothing. Other labels stay. */
export function diffLabels(
  present: Labels,
  wanted: Labels,
): Readonly<Record<string, string | null>> | undefined {
  const stale = Object.keys(present).filter(key => isOurs(key) && !(key in wanted));
  const missing = Object.entries(wanted).filter(([key, text]) => present[key] !== text);
  if (stale.length + missing.length === 0) return undefined;
  return Object.fromEntries([...stale.map(key => [key, null]), ...missing]);
}

function isOurs(key: string): boolean {
  const [prefix = ''] = key.split('/');
  return prefix === group || prefix.endsWith(`.${group}`);
}
