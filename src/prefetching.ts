import type { Settings } from './cli/settings.ts';
import type { Note } from './configfile/watched-file.ts';
import type { Cluster } from './kube/cluster.ts';
import { openResources } from './optional-parts.ts';
import { createPrefetch, type Prefetch } from './volume/prefetch.ts';

/** What follows the lists of artifacts to have before any pod asks. */
export type Prefetching = Pick<Prefetch, 'follow' | 'status'> & {
  /** What runs as long as the node. */
  readonly work: readonly ((signal: AbortSignal) => Promise<void>)[];
  /** Why the prefetches of the Kubernetes API cannot be followed, one line each. */
  problems(): readonly string[];
};

/** @param cluster of a daemon: only daemons follow the prefetches of the API. */
export async function openPrefetching(
  world: Parameters<typeof createPrefetch>[0],
  settings: Settings,
  cluster: Cluster | undefined,
  note: Note,
): Promise<Prefetching> {
  const resources = await openResources(settings, cluster, world.list, note);
  const prefetch = createPrefetch({ ...world, list: resources?.list ?? world.list });
  const isListed = settings.prefetch !== undefined || resources !== undefined;
  return {
    ...prefetch,
    work: [
      ...(isListed ? [prefetch.run] : []),
      ...(resources ? [(signal: AbortSignal) => resources.run(prefetch.rows, signal)] : []),
    ],
    problems: () => resources?.problems() ?? [],
  };
}
