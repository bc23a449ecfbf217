import type { Held } from '../../ports/store.ts';
import { bodiesPerDirectory } from '../../tree/layer-files.ts';
import { readTocTotals } from './toc-file.ts';

/**
 * Returns the disk usage of a layer from its totals: the bodies, the table, and their directories. An unreadable one
 * still counts as cached, so that garbage collection removes it.
 */
export async function measureLayer(toc: string): Promise<Omit<Held, 'digest'>> {
  const totals = await readTocTotals(toc).catch(() => undefined);
  if (totals === undefined) return { bytes: 0, inodes: 0, since: 0 };
  const { bytes, bodies, files, size, since } = totals;
  if (files !== undefined) {
    const stored = files.reduce((sum, file) => sum + file.size, size);
    return { bytes: stored, inodes: files.length + 2, since };
  }
  return { bytes: bytes + size, inodes: bodies + Math.ceil(bodies / bodiesPerDirectory) + 2, since };
}
