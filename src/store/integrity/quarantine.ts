import { lstatSync, readdirSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { unlessAbsent } from '../files/absent.ts';
import type { Folder } from '../files/folder.ts';
import { measureFolder } from '../files/tree-size.ts';

/**
 * `quarantine/`: what was found damaged, under names that nothing looks for, so that people can see what the disk or a
 * pod has made of it. It keeps the latest few, for a week, and little of it.
 */
export type Quarantine = {
  /** Moves a file or folder here in one rename. Nothing there is success. */
  take(path: string, name: string): Promise<void>;
  /** Removes what is too old, too much or too many. */
  retire(): Promise<void>;
};

const most = 8;
const mostBytes = 1024 * 1024 * 1024;
/** Milliseconds. */
const longest = 7 * 24 * 60 * 60 * 1000;

export function openQuarantine(folder: Folder, discard: (path: string) => Promise<void>): Quarantine {
  const retire = async (): Promise<void> => {
    const latestFirst = readdirSync(folder.path)
      .map(name => join(folder.path, name))
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
      await unlessAbsent(rename(path, join(folder.path, `${Date.now().toString(36)}-${name}`)));
      await retire();
    },
    retire,
  };
}

async function sizeOf(path: string): Promise<number> {
  const stats = lstatSync(path);
  return stats.isDirectory() ? (await measureFolder(path, new AbortController().signal)).bytes : stats.size;
}
