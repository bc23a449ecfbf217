import type { Digest } from '../oci/digest.ts';
import type { Journal } from './journal.ts';
import { isCount } from './json-record.ts';

/** What tar layers take of the disk, as their last unpacking showed: of a refused one, what it had asked for by then. */
export type LayerSizes = AsyncDisposable & {
  get(digest: Digest): Size | undefined;
  set(digest: Digest, size: Size): void;
};

type Size = { readonly bytes: number; readonly inodes: number };

/** Layers whose size is kept. */
const most = 1000;

export function openLayerSizes(journal: Journal): LayerSizes {
  const sizes = new Map(journal.lines);
  return {
    get(digest) {
      const [bytes, inodes] = sizes.get(digest)?.split(' ').map(Number) ?? [];
      return isCount(bytes) && isCount(inodes) ? { bytes, inodes } : undefined;
    },
    set(digest, { bytes, inodes }) {
      const text = `${bytes} ${inodes}`;
      sizes.delete(digest);
      sizes.set(digest, text);
      journal.put(digest, text);
      const [oldest] = sizes.keys();
      if (sizes.size <= most || oldest === undefined) return;
      sizes.delete(oldest);
      journal.put(oldest, '');
    },
    [Symbol.asyncDispose]: journal.close,
  };
}
