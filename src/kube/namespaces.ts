import { ArtifactError } from '../util/error.ts';
import { createMemo } from '../util/memo.ts';
import type { KubeApi } from './api.ts';

/** Labels of namespaces. */
export type Namespaces = {
  /** @throws ArtifactError `denied` where there is no such namespace; what KubeApi throws. */
  labels(name: string, signal: AbortSignal): Promise<Readonly<Record<string, string>>>;
};

/** As long as what is read of pods: a label that is taken away holds for this long. */
const holdsMs = 10_000;

/** Reads once in 10 s for each namespace. */
export function openNamespaces(api: Pick<KubeApi, 'namespace'>): Namespaces {
  const memo = createMemo<Readonly<Record<string, string>>>();
  // One question serves all who wait, so it does not end with the caller who came first.
  const unending = new AbortController().signal;
  const read = async (name: string): Promise<Readonly<Record<string, string>>> => {
    const found = await api.namespace(name, unending);
    if (found !== undefined) return found.metadata?.labels ?? {};
    throw new ArtifactError('denied', `the Kubernetes API has no namespace ${name}`);
  };
  return {
    labels: (name, signal) =>
      memo.recall(name, async () => ({ value: await read(name), forMs: holdsMs }), signal),
  };
}
