import type { Labels, Namespaces } from '../ports/kube.ts';
import { ArtifactError } from '../util/error.ts';
import { createMemo } from '../util/memo.ts';
import type { KubeApi } from './api.ts';

/** Equal to the time that pods are cached: a removed label counts for this long. */
const ttlMs = 10_000;

/** Reads each namespace at most once in 10 s. */
export function openNamespaces(api: Pick<KubeApi, 'namespace'>): Namespaces {
  const memo = createMemo<Labels>();
  const read = async (name: string, signal: AbortSignal): Promise<Labels> => {
    const found = await api.namespace(name, signal);
    if (found !== undefined) return found.metadata?.labels ?? {};
    throw new ArtifactError('denied', `the Kubernetes API has no namespace ${name}`);
  };
  return {
    labels: (name, signal) =>
      memo.recall(name, async until => ({ value: await read(name, until), forMs: ttlMs }), signal),
  };
}
