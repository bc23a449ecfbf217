import type { Labels, Namespaces } from '../ports/kube.ts';
import { ArtifactError } from '../util/error.ts';
import { createMemo } from '../util/memo.ts';
import type { KubeApi } from './api.ts';

/** As long as what is read of pods: a label that is taken away holds for this long. */
const holdsMs = 10_000;

/** Reads once in 10 s for each namespace. */
export function openNamespaces(api: Pick<KubeApi, 'namespace'>): Namespaces {
  const memo = createMemo<Labels>();
  const read = async (name: string, signal: AbortSignal): Promise<Labels> => {
    const found = await api.namespace(name, signal);
    if (found !== undefined) return found.metadata?.labels ?? {};
    throw new ArtifactError('denied', `the Kubernetes API has no namespace ${name}`);
  };
  return {
    labels: (name, signal) =>
      memo.recall(name, async until => ({ value: await read(name, until), forMs: holdsMs }), signal),
  };
}
