import { isObject, type JsonObject } from '../../util/json.ts';
import { shorten } from '../../util/name.ts';
import type { Tally } from './tally.ts';

/** A condition of Kubernetes (metav1.Condition). */
type Condition = {
  readonly type: string;
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
  readonly lastTransitionTime: string;
};

const longestMessage = 1024;

/** The status of a prefetch. @param before the present one, whose times of transition stay while nothing changes. */
export function toPrefetchStatus(
  { nodes, bytes, totalBytes, pulling, failed, waiting }: Tally,
  generation: number,
  before: JsonObject,
  now: number,
): JsonObject {
  const { selected, ready } = nodes;
  const isReady = selected > 0 && ready === selected;
  const open = nodes.pulling + nodes.waiting;
  const [first] = failed;
  const why = waiting === undefined ? '' : `, among them ${waiting.node}: ${waiting.message}`;
  const rows: readonly (readonly [type: string, holds: boolean, reason: string, message: string])[] = [
    [
      'Ready',
      isReady,
      isReady ? 'AllNodesReady' : selected === 0 ? 'NoNodes' : 'NodesNotReady',
      selected === 0 ? 'no node with the driver is selected' : `${ready} of ${selected} nodes are ready`,
    ],
    [
      'Progressing',
      open > 0,
      open > 0 ? 'NodesPull' : 'NothingToPull',
      shorten(`${nodes.pulling} nodes pull, and ${nodes.waiting} wait${why}`, longestMessage),
    ],
    [
      'Failed',
      nodes.failed > 0,
      nodes.failed > 0 ? 'NodesFail' : 'NoNodeFails',
      first === undefined
        ? 'no node fails'
        : shorten(
            `${nodes.failed} of ${selected} nodes fail, among them ${first.node}: ${first.message}`,
            longestMessage,
          ),
    ],
  ];
  return {
    observedGeneration: generation,
    nodes,
    bytes,
    totalBytes,
    pulling,
    failed,
    conditions: rows.map(([type, holds, reason, message]): Condition => {
      const status = holds ? 'True' : 'False';
      const lastTransitionTime = sinceOf(before, type, status) ?? toTime(now);
      return { type, status, reason, message, observedGeneration: generation, lastTransitionTime };
    }),
  };
}

/** Since when a condition has this status. */
function sinceOf({ conditions }: JsonObject, type: string, status: string): string | undefined {
  const found = Array.isArray(conditions)
    ? conditions.find(one => isObject(one) && one['type'] === type && one['status'] === status)
    : undefined;
  const at = isObject(found) ? found['lastTransitionTime'] : undefined;
  return typeof at === 'string' ? at : undefined;
}

function toTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}

/** The number of nodes that were selected when the status was written. */
export function selectedNodes({ nodes }: JsonObject): number {
  const selected = isObject(nodes) ? nodes['selected'] : undefined;
  return typeof selected === 'number' ? selected : 0;
}
