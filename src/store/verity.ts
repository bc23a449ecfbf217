import { closeSync, constants, lstatSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Item } from '../ports/store.ts';
import { errnoOf } from '../util/error.ts';
import { sealFile } from '../util/libc-io.ts';
import type { EvidenceStore, FilesOf } from './evidence.ts';
import type { Scratch } from './scratch.ts';

/**
 * fs-verity, where kernel and file system have it: nobody can write into a sealed file, whatever flags their mount has,
 * and the kernel verifies each page that it reads of it.
 */
export type Verity = {
  /** Why it is off; undefined while it is on. */
  readonly off: string | undefined;
  /** Seals all files of an item, one after the other. Does nothing where that was done or failed, or it is off. */
  seal(item: Item, signal: AbortSignal): Promise<void>;
};

/** Tries it with a file of its own. */
export async function openVerity(
  scratch: Scratch,
  evidence: EvidenceStore,
  filesOf: FilesOf,
): Promise<Verity> {
  const off = scratch.isClosed ? 'the state directory is only read' : await probe(scratch.fresh());
  /** In this life: to seal again what is sealed does no harm. */
  const tried = new Set<string>();
  return {
    off,
    async seal(item, signal) {
      const [first] = off === undefined ? (filesOf(item)?.files ?? []) : [];
      const ino = first === undefined ? undefined : lstatSync(join(...first), { throwIfNoEntry: false })?.ino;
      const key = `${item.kind} ${item.digest} ${ino}`;
      if (ino === undefined || tried.has(key)) return;
      tried.add(key);
      await evidence.relink([item], async () => {
        for (const [folder, name] of filesOf(item)?.files ?? []) {
          signal.throwIfAborted();
          await sealPath(join(folder, name));
        }
      });
    },
  };
}

async function probe(path: string): Promise<string | undefined> {
  try {
    writeFileSync(path, 'sealed');
    await sealPath(path);
    return undefined;
  } catch (thrown) {
    return errnoOf(thrown) ?? String(thrown);
  } finally {
    rmSync(path, { force: true });
  }
}

async function sealPath(path: string): Promise<void> {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    await sealFile(fd);
  } finally {
    closeSync(fd);
  }
}
