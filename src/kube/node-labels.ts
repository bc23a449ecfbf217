import type { NodeLabels } from '../ports/prefetch.ts';
import { ArtifactError } from '../util/error.ts';
import type { KubeApi } from './api.ts';

/** Reads the labels of this node at each call. */
export function openNodeLabels(api: Pick<KubeApi, 'node'>, name: string): NodeLabels {
  return async signal => {
    const found = await api.node(name, signal);
    if (found !== undefined) return found.metadata?.labels ?? {};
    throw new ArtifactError('denied', `the Kubernetes API has no node ${name}; check --node-id`);
  };
}
