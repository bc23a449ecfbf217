import type { NodeStatus } from '../../ports/node-status.ts';
import type { ArtifactSummary, Artifacts, PullStatus, VolumeStatus } from '../../ports/usecases.ts';
import { never } from '../../util/abortable.ts';
import { createMemo } from '../../util/memo.ts';

/** Everything that the page shows, at one time. */
export type PageState = {
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly nodeId: string;
  readonly status: NodeStatus;
  readonly pulls: readonly PullStatus[];
  /** By pod. */
  readonly volumes: readonly VolumeStatus[];
  /** The last used first. */
  readonly artifacts: readonly ArtifactSummary[];
};

export type PageUseCases = Pick<Artifacts, 'status' | 'pulls' | 'volumes' | 'list'>;

/** How long the status and the pulls are reused, whoever looks. */
const freshMs = 1_000;
/** The same for lists, which may have thousands of rows. */
const listedMs = 5_000;

/** Reads the state by the use cases of `status`, `volumes` and `ls`. Its cost does not grow with the readers. */
export function createPageReader(nodeId: string, useCases: () => PageUseCases): () => Promise<PageState> {
  const memo = createMemo<unknown>();
  const recall = async <T>(key: string, forMs: number, read: () => Promise<T>): Promise<T> =>
    (await memo.recall(key, async () => ({ value: await read(), forMs }), never)) as T;

  return async () => {
    const from = useCases();
    const [status, pulls, volumes, artifacts] = await Promise.all([
      recall('status', freshMs, from.status),
      recall('pulls', freshMs, async () => (await from.pulls()).toSorted((a, b) => a.since - b.since)),
      recall('volumes', listedMs, async () => (await from.volumes()).toSorted(byPod)),
      recall('artifacts', listedMs, async () => (await from.list()).toSorted((a, b) => b.usedAt - a.usedAt)),
    ]);
    return { now: Date.now(), nodeId, status, pulls, volumes, artifacts };
  };
}

function byPod(a: VolumeStatus, b: VolumeStatus): number {
  const [left, right] = [podKey(a), podKey(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Volumes of no pod, which were mounted by hand, come last. */
function podKey({ pod, targetPath }: VolumeStatus): string {
  return pod === undefined ? `~ ${targetPath}` : `${pod.namespace}/${pod.name} ${targetPath}`;
}
