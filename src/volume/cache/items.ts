import type { Digest } from '../../oci/digest.ts';
import type { Blobs, Held, Item, Layers } from '../../ports/store.ts';

/** Whether a digest is cached, as a blob or as an unpacked layer. */
export async function isCached(
  world: { readonly blobs: Pick<Blobs, 'size'>; readonly layers: Pick<Layers, 'has'> },
  digest: Digest,
): Promise<boolean> {
  return (await world.blobs.size(digest)) !== undefined || (await world.layers.has(digest));
}

/** Lists all that is cached. A digest that is stored as blob and as layer is two items. */
export async function listItems(world: {
  readonly blobs: Pick<Blobs, 'list'>;
  readonly layers: Pick<Layers, 'list'>;
}): Promise<readonly (Item & Held)[]> {
  return [
    ...(await world.blobs.list()).map(held => ({ kind: 'blobs', ...held }) as const),
    ...(await world.layers.list()).map(held => ({ kind: 'layers', ...held }) as const),
  ];
}

/** For a map of items. */
export function itemKey({ kind, digest }: Item): string {
  return `${kind} ${digest}`;
}
