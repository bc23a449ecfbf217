import type { Labels } from '../../ports/kube.ts';
import type { KubeObjects } from '../../ports/kube-objects.ts';
import { ArtifactError } from '../../util/error.ts';
import { fieldAt, isObject } from '../../util/json.ts';
import type { RequestTurn } from '../../util/request-pace.ts';

/** This node's object. */
export type OwnNode = {
  readonly uid: string;
  readonly labels: Labels;
};

/** What is known of the node, read again from time to time. */
export type OwnNodeReader = {
  /** @throws `not-found` if the API has no such node; as KubeObjects. */
  read(signal: AbortSignal): Promise<OwnNode>;
  /** What was read last. */
  known(): OwnNode | undefined;
  /** Changes labels; null removes one. */
  label(change: Readonly<Record<string, string | null>>, signal: AbortSignal): Promise<void>;
};

/** How long labels of a node are used, ms. */
const ttlMs = 60_000;

export function openOwnNode(
  objects: Pick<KubeObjects, 'get' | 'patch'>,
  name: string,
  turn: RequestTurn,
): OwnNodeReader {
  const path = ['api', 'v1', 'nodes', name];
  let node: OwnNode | undefined;
  let readAt = -Infinity;
  return {
    async read(signal) {
      if (node !== undefined && performance.now() - readAt < ttlMs) return node;
      await turn(signal);
      node = toOwnNode(await objects.get(path, signal, 'brief'), name);
      readAt = performance.now();
      return node;
    },
    known: () => node,
    async label(labels, signal) {
      await turn(signal);
      await objects.patch(path, { metadata: { labels } }, signal);
      readAt = -Infinity;
    },
  };
}

function toOwnNode(object: unknown, name: string): OwnNode {
  const metadata = fieldAt(object, 'metadata');
  if (!isObject(metadata) || typeof metadata['uid'] !== 'string')
    throw new ArtifactError('not-found', `the Kubernetes API has no node ${name}; check --node-id`);
  const labels = isObject(metadata['labels']) ? metadata['labels'] : {};
  const texts = Object.entries(labels).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  return { uid: metadata['uid'], labels: Object.fromEntries(texts) };
}
