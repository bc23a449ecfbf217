import { closeSync, constants, lstatSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Item } from '../../ports/store.ts';
import { errnoOf } from '../../util/error.ts';
import { sealFile } from '../../linux/io.ts';
import type { EvidenceStore, FilesOf } from './evidence.ts';
import type { Scratch } from '../files/scratch.ts';

/**
 * fs-verity, where kernel and file system have it: nobody can write into a sealed file, whatever flags their mount has,
 * and the kernel verifies each page that it reads of it.
 */
export type Verity = {
  /** Why it is off; undefined while it is on. */
  readonly off: string | undefined;
  /**
   * Seals all files of an item, one after the other. Does nothing where that was done or failed, or it is off. Where
   * somebody has one open for writing, the next call tries again.
   */
  seal(item: Item, signal: AbortSignal): Promise<void>;
};

/** Enables fs-verity for an open file. @throws what the kernel answers. */
type Enable = (fd: number) => Promise<void>;

/** Tries it with a file of its own. */
export async function openVerity(
  scratch: Pick<Scratch, 'isClosed' | 'fresh'>,
  evidence: Pick<EvidenceStore, 'relink'>,
  filesOf: FilesOf,
  enable: Enable = sealFile,
): Promise<Verity> {
  const off = scratch.isClosed ? 'the state directory is only read' : await probe(scratch.fresh(), enable);
  /** In this life: to seal again what is sealed does no harm. */
  const tried = new Set<string>();

  const sealAll = async (item: Item, signal: AbortSignal): Promise<void> => {
    for (const [folder, name] of filesOf(item)?.files ?? []) {
      signal.throwIfAborted();
      await seal(join(folder, name), enable);
    }
  };

  return {
    off,
    async seal(item, signal) {
      const [first] = off === undefined ? (filesOf(item)?.files ?? []) : [];
      const ino = first === undefined ? undefined : lstatSync(join(...first), { throwIfNoEntry: false })?.ino;
      const key = `${item.kind} ${item.digest} ${ino}`;
      if (ino === undefined || tried.has(key)) return;
      tried.add(key);
      try {
        await evidence.relink([item], () => sealAll(item, signal));
      } catch (thrown) {
        if (!passing.has(errnoOf(thrown) ?? '')) throw thrown;
        tried.delete(key);
      }
    },
  };
}

/** What ends once the file is closed or sealed. */
const passing = new Set(['ETXTBSY', 'EBUSY']);

async function probe(path: string, enable: Enable): Promise<string | undefined> {
  try {
    writeFileSync(path, 'sealed');
    await seal(path, enable);
    return undefined;
  } catch (thrown) {
    return errnoOf(thrown) ?? String(thrown);
  } finally {
    rmSync(path, { force: true });
  }
}

async function seal(path: string, enable: Enable): Promise<void> {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    await enable(fd);
  } catch (thrown) {
    if (errnoOf(thrown) !== 'EEXIST') throw thrown; // it is sealed
  } finally {
    closeSync(fd);
  }
}
