import { lstatSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { never } from '../../util/abortable.ts';
import { doEach } from '../../util/each.ts';
import { unlessAbsent } from '../files/absent.ts';
import type { Directory } from '../files/directory.ts';
import { despiteFlags } from '../files/scratch.ts';
import { measureDirectory } from '../files/tree-size.ts';

/**
 * `quarantine/`: damaged content, under names that nothing reads, for inspection. It keeps the latest few, for a week,
 * up to a total size.
 */
export type Quarantine = {
  /**
   * Moves a file or directory here in one rename, and removes what is too much as far as it can. A missing path is
   * success.
   */
  take(path: string, name: string): Promise<void>;
  /**
   * Removes what exceeds the limits of age, size or number. What cannot be measured is too large. @throws the first
   * failure, after everything else is removed.
   */
  retire(): Promise<void>;
};

const most = 8;
const mostBytes = 1024 * 1024 * 1024;
/** Milliseconds. */
const longest = 7 * 24 * 60 * 60 * 1000;

export function openQuarantine(directory: Directory, discard: (path: string) => Promise<void>): Quarantine {
  const retire = async (): Promise<void> => {
    const latestFirst = readdirSync(directory.path)
      .map(name => join(directory.path, name))
      .map(path => ({ path, since: sinceOf(path) }))
      .sort((a, b) => b.since - a.since);
    let kept = 0;
    let bytes = 0;
    await doEach(latestFirst, async ({ path, since }) => {
      const isOver = kept >= most || Date.now() - since >= longest;
      const size = isOver ? Infinity : await sizeOf(path);
      if (bytes + size > mostBytes) return await discard(path);
      kept++;
      bytes += size;
    });
  };
  return {
    async take(path, name) {
      const aside = join(directory.path, `${Date.now().toString(36)}-${name}`);
      await unlessAbsent((async () => despiteFlags([path], () => renameSync(path, aside)))());
      await retire().catch(() => {}); // the next one reports it
    },
    retire,
  };
}

/** Milliseconds since 1970; 0 for what the disk does not give. */
function sinceOf(path: string): number {
  try {
    return lstatSync(path).ctimeMs;
  } catch {
    return 0;
  }
}

/** Bytes; infinite for what the disk does not give. */
async function sizeOf(path: string): Promise<number> {
  try {
    const stats = lstatSync(path);
    if (!stats.isDirectory()) return stats.size;
    return (await measureDirectory(path, never)).bytes;
  } catch {
    return Infinity;
  }
}
