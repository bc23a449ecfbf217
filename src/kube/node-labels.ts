import type { Labels } from '../ports/kube.ts';
import type { NodeLabels } from '../ports/prefetch.ts';
import { ArtifactError } from '../util/error.ts';
import { createMemo } from '../util/memo.ts';
import type { KubeApi } from './api.ts';

/** Equal to the time that pods and namespaces are cached. */
const ttlMs = 10_000;

type Answer =
  | { readonly kind: 'labels'; readonly labels: Labels }
  | { readonly kind: 'failed'; readonly thrown: unknown };

/** Reads the labels of this node at most once in 10 s. A failure counts as long: an API that hangs takes 10 s to fail. */
export function openNodeLabels(api: Pick<KubeApi, 'node'>, name: string, now?: () => number): NodeLabels {
  const memo = createMemo<Answer>(now);
  const read = async (signal: AbortSignal): Promise<Answer> => {
    try {
      const found = await api.node(name, signal);
      if (found !== undefined) return { kind: 'labels', labels: found.metadata?.labels ?? {} };
      throw new ArtifactError('denied', `the Kubernetes API has no node ${name}; check --node-id`);
    } catch (thrown) {
      return { kind: 'failed', thrown };
    }
  };
  return async signal => {
    const answer = await memo.recall(
      name,
      async until => ({ value: await read(until), forMs: ttlMs }),
      signal,
    );
    if (answer.kind === 'failed') throw answer.thrown;
    return answer.labels;
  };
}
