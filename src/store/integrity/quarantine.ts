import { lstatSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { unlessAbsent } from '../files/absent.ts';
import type { Directory } from '../files/directory.ts';
import { despiteFlags } from '../files/scratch.ts';
import { measureDirectory } from '../files/tree-size.ts';

/**
 * `quarantine/`: damaged content, under names that nothing reads, for inspection. It keeps the latest few, for a week,
 * up to a total size.
 */
export type Quarantine = {
  /** Moves a file or directory here in one rename. A missing path is success. */
  take(path: string, name: string): Promise<void>;
  /** Removes what exceeds the limits of age, size or number. */
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
      .map(path => ({ path, since: lstatSync(path).ctimeMs }))
      .sort((a, b) => b.since - a.since);
    let kept = 0;
    let bytes = 0;
    for (const { path, since } of latestFirst) {
      bytes += await sizeOf(path);
      if (kept < most && bytes <= mostBytes && Date.now() - since < longest) kept++;
      else await discard(path);
    }
  };
  return {
    async take(path, name) {
      const aside = join(directory.path, `${Date.now().toString(36)}-${name}`);
      await unlessAbsent((async () => despiteFlags([path], () => renameSync(path, aside)))());
      await retire();
    },
    retire,
  };
}

async function sizeOf(path: string): Promise<number> {
  const stats = lstatSync(path);
  return stats.isDirectory()
    ? (await measureDirectory(path, new AbortController().signal)).bytes
    : stats.size;
}
