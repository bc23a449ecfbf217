import { isDeepStrictEqual } from 'node:util';
import type { KubeObjects, KubePage, NodeLease } from '../../ports/kube-objects.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { fieldAt, type JsonObject } from '../../util/json.ts';
import type { RequestTurn } from '../../util/request-pace.ts';
import { nodeArtifactsPath, parseNodeRows } from './node-artifacts.ts';
import { createPager } from './pager.ts';
import { toPrefetchStatus } from './prefetch-status.ts';
import { group, kinds, type PrefetchResource, version } from './resource.ts';
import { addNodeRow, emptyTally } from './tally.ts';

/** The Lease of the daemon that writes the status of all prefetches, and its duration, s. */
export const summaryLease = { name: 'prefetch', seconds: 90 } as const;
/** Between two summaries, and between two attempts to become the one that writes them, ms. */
const everyMs = 20_000;
/** After this time the lease is renewed, ms: many prefetches take longer than it lasts, at two requests a second. */
const renewMs = 30_000;
/** NodeArtifacts of one request. */
const most = 250;

/**
 * Writes the status of each prefetch from what the nodes report, if this daemon is the elected one. Answers how long to
 * wait, in ms. It keeps counts, and not what the nodes report.
 */
export type Summary = (resources: readonly PrefetchResource[], signal: AbortSignal) => Promise<number>;

export function createSummary(world: {
  readonly objects: Pick<KubeObjects, 'page' | 'patch'>;
  readonly lease: Pick<NodeLease, 'take' | 'isHeld'>;
  /** As for all daemons, and for the elected one. */
  readonly turn: RequestTurn;
  readonly electedTurn: RequestTurn;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
}): Summary {
  const { objects, lease, electedTurn, now = () => performance.now() } = world;
  const readAll = createPager(objects, electedTurn, most);
  /** The status that was written last, which the list of prefetches may not show for minutes. */
  const written = new Map<string, { readonly before: JsonObject; readonly status: JsonObject }>();

  const presentStatus = ({ uid, status }: PrefetchResource): JsonObject => {
    const last = written.get(uid);
    return last !== undefined && last.before === status ? last.status : status;
  };

  const write = async (
    resource: PrefetchResource,
    status: JsonObject,
    signal: AbortSignal,
  ): Promise<void> => {
    const { kind, namespace, name, uid } = resource;
    const within = namespace === undefined ? [] : ['namespaces', namespace];
    await electedTurn(signal);
    await objects
      .patch(['apis', group, version, ...within, kinds[kind], name, 'status'], { status }, signal)
      .catch((thrown: unknown) => {
        const isGone = thrown instanceof ArtifactError && thrown.code === 'not-found';
        if (!isGone) throw thrown; // the next list lacks it
      });
    written.set(uid, { before: resource.status, status });
  };

  return async (resources, signal) => {
    const waitMs = everyMs * (0.75 + 0.5 * Math.random());
    if (resources.length === 0) return waitMs;
    let renewedAt = -Infinity;
    let isLost = false;
    const isElected = async (): Promise<boolean> => {
      if (isLost || now() - renewedAt < renewMs) return !isLost;
      await (lease.isHeld() ? electedTurn : world.turn)(signal);
      const askedAt = now();
      isLost = !(await lease.take(signal));
      renewedAt = askedAt;
      return !isLost;
    };
    if (!(await isElected())) return waitMs;
    const found = new Map(resources.map(resource => [resource.uid, { resource, tally: emptyTally() }]));
    const countNode = (object: unknown): void => {
      const node = fieldAt(object, 'metadata', 'name');
      // A node counts once.
      const rows = new Map(parseNodeRows(object).map(row => [row.uid, row]));
      for (const row of rows.values()) {
        const one = found.get(row.uid);
        if (one !== undefined) addNodeRow(one.tally, String(node), row, one.resource.generation);
      }
    };
    const count = ({ items }: KubePage): Promise<boolean> => {
      for (const { object } of items) countNode(object);
      return isElected();
    };
    await readAll(nodeArtifactsPath(), count, signal);
    if (!(await isElected())) return waitMs;
    for (const uid of written.keys()) if (!found.has(uid)) written.delete(uid);
    let failure: ArtifactError | undefined;
    for (const { resource, tally } of found.values()) {
      const before = presentStatus(resource);
      const status = toPrefetchStatus(tally, resource.generation, before, Date.now());
      if (isDeepStrictEqual(status, before)) continue;
      if (!(await isElected())) break; // another daemon has newer counts
      await write(resource, status, signal).catch((thrown: unknown) => {
        signal.throwIfAborted();
        failure ??= toArtifactError(thrown);
      });
    }
    if (failure !== undefined) throw failure;
    return waitMs;
  };
}
