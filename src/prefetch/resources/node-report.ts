import type { KubeObjects } from '../../ports/kube-objects.ts';
import type { RequestTurn } from '../../util/request-pace.ts';
import { nodeArtifactsPath, parseNodeRows, toNodeArtifacts } from './node-artifacts.ts';
import type { NodeRow } from './node-row.ts';

/** Keeps the NodeArtifacts object of this node. */
export type NodeReport = {
  /**
   * Writes the rows, if they have changed and the last write is long enough ago. Answers the rows that are reported.
   *
   * @param uid that of the node.
   */
  write(rows: readonly NodeRow[], uid: string, signal: AbortSignal): Promise<readonly NodeRow[]>;
  /** Whether the API has the rows of the last call. */
  isWritten(): boolean;
};

/** Between two writes, ms: of a change of state, and of bytes only. */
const [stateMs, bytesMs] = [15_000, 30_000];
/** After a start, what was ready is pulled again, which finds it in the cache. How long it counts as ready, ms. */
const settlingMs = 3 * 60_000;

/** @param now milliseconds of a monotonic clock. */
export function createNodeReport(
  objects: Pick<KubeObjects, 'get' | 'apply'>,
  name: string,
  turn: RequestTurn,
  now: () => number = () => performance.now(),
): NodeReport {
  const startedAt = now();
  /** What the API had at the start. */
  let past: readonly NodeRow[] | undefined;
  let written = { all: '[]', states: '[]', at: -Infinity };
  let wanted = '';

  const settle = (row: NodeRow): NodeRow => {
    const before = past?.find(({ uid, generation }) => uid === row.uid && generation === row.generation);
    const isOpen = row.state === 'Waiting' || row.state === 'Pulling';
    const isSettling = isOpen && before?.state === 'Ready' && now() - startedAt < settlingMs;
    return isSettling ? { ...row, state: 'Ready', readyArtifacts: row.artifacts } : row;
  };

  const readPast = async (signal: AbortSignal): Promise<readonly NodeRow[]> => {
    await turn(signal);
    const found = await objects.get(nodeArtifactsPath(name), signal);
    const rows = parseNodeRows(found);
    if (found !== undefined) written = { ...written, all: JSON.stringify(rows), states: '' };
    return rows;
  };

  return {
    async write(present, uid, signal) {
      past ??= await readPast(signal);
      const rows = present.map(settle);
      wanted = JSON.stringify(rows);
      const states = JSON.stringify(rows.map(row => ({ ...row, bytes: 0, totalBytes: 0 })));
      const waitMs = states === written.states ? bytesMs : stateMs;
      if (wanted === written.all || now() - written.at < waitMs) return rows;
      await turn(signal);
      await objects.apply(nodeArtifactsPath(name), toNodeArtifacts(name, uid, rows), signal);
      written = { all: wanted, states, at: now() };
      return rows;
    },
    isWritten: () => wanted === written.all,
  };
}
