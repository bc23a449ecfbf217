import { hash } from 'node:crypto';
import type { LayerPlan } from '../../oci/plan.ts';

/**
 * Orders layers by node (rendezvous hashing): many nodes that start one artifact at once do not all ask for the same
 * layer first, and what one has, peers can have from it.
 */
export function orderByNode(layers: readonly LayerPlan[], nodeId: string): readonly LayerPlan[] {
  const ranked = layers.map(layer => ({
    layer,
    rank: hash('sha256', `${nodeId} ${layer.descriptor.digest}`),
  }));
  return ranked.toSorted((a, b) => (a.rank < b.rank ? -1 : 1)).map(({ layer }) => layer);
}
