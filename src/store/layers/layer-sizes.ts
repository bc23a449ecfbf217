import type { LayerSizes } from '../../ports/disk.ts';
import type { Journal } from '../files/journal.ts';
import { isCount } from '../files/json-record.ts';

/** For a refused layer, the size that it had requested by then. */
export type LayerSizeStore = AsyncDisposable & LayerSizes;

/** The number of layers whose size is kept. */
const most = 1000;

export function openLayerSizes(journal: Journal): LayerSizeStore {
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
