import { closeSync, lstatSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sealFile } from '../../linux/io.ts';
import type { Item } from '../../ports/store.ts';
import { errnoOf } from '../../util/error.ts';
import { createRecall } from '../../util/memo.ts';
import { openRegular } from '../../util/regular-file.ts';
import type { Scratch } from '../files/scratch.ts';
import { formatStored } from '../files/unsynced.ts';
import type { EvidenceStore, FilesOf } from './evidence.ts';

/**
 * fs-verity, if kernel and filesystem support it: nobody can write to a sealed file, whatever the flags of the mount,
 * and the kernel verifies each page that it reads.
 */
export type Verity = {
  /** Why it is off; undefined while it is on. */
  readonly off: string | undefined;
  /**
   * Seals all files of an item, one after the other. It does nothing if that was done or failed, or if it is off. If a
   * file is open for writing, the next call retries.
   */
  seal(item: Item, signal: AbortSignal): Promise<void>;
};

/** Enables fs-verity for an open file. @throws the kernel's error. */
type Enable = (fd: number) => Promise<void>;

/** Tests it with a file of its own. */
export async function openVerity(
  scratch: Pick<Scratch, 'isClosed' | 'fresh'>,
  evidence: Pick<EvidenceStore, 'relink'>,
  filesOf: FilesOf,
  enable: Enable = sealFile,
): Promise<Verity> {
  const off = scratch.isClosed ? 'the state directory is only read' : await probe(scratch.fresh(), enable);
  /** The inodes of the latest items that were tried, by item. Trying one again does no harm, and opens its files. */
  const tried = createRecall<string, number>(mostRemembered);

  const sealAll = async (item: Item, signal: AbortSignal): Promise<void> => {
    for (const [directory, name] of filesOf(item)?.files ?? []) {
      signal.throwIfAborted();
      await seal(join(directory, name), enable);
    }
  };

  return {
    off,
    async seal(item, signal) {
      const [first] = off === undefined ? (filesOf(item)?.files ?? []) : [];
      const ino = first === undefined ? undefined : lstatSync(join(...first), { throwIfNoEntry: false })?.ino;
      const key = formatStored(item);
      if (ino === undefined || tried.get(key) === ino) return;
      try {
        await evidence.relink([item], () => sealAll(item, signal));
      } catch (thrown) {
        signal.throwIfAborted();
        if (transient.has(errnoOf(thrown) ?? '')) return;
        tried.keep(key, ino);
        throw thrown;
      }
      tried.keep(key, ino);
    },
  };
}

/** Items: some MB. A cache of more is sealed again in each round of the scrub, which is little beside its reads. */
const mostRemembered = 20_000;

/** These errors end once the file is closed or sealed. */
const transient = new Set(['ETXTBSY', 'EBUSY']);

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
  const fd = openRegular(path);
  try {
    await enable(fd);
  } catch (thrown) {
    if (errnoOf(thrown) !== 'EEXIST') throw thrown; // it is already sealed
  } finally {
    closeSync(fd);
  }
}

/** Whether files are sealed, and if not, why. */
export function formatVerity({ off }: Pick<Verity, 'off'>): string {
  return `fs-verity: ${off === undefined ? 'on' : `off (${off}); the cache is verified without it`}`;
}
