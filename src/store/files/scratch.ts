import { randomUUID } from 'node:crypto';
import { readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { ArtifactError, errnoOf } from '../../util/error.ts';
import { openFolder } from './folder.ts';
import { removeTree } from './tree-removal.ts';

/**
 * `tmp/`: where everything half-made and everything doomed lies, under random names. Nothing in it counts, so what a
 * crash leaves there is deleted at the next start. Disposing it ends the deletions under way.
 */
export type Scratch = AsyncDisposable & {
  /** Whether nothing may be written. */
  readonly isClosed: boolean;
  /** A path in it where nothing is. @throws where it is closed, why. */
  fresh(): string;
  /** Takes a file or tree out of sight in one rename, then deletes it in slices. Nothing there is success. */
  discard(path: string): Promise<void>;
  /** Deletes all that is in it now. */
  sweep(): Promise<void>;
};

/** That of a store that is only read. @param why nothing may be written, for errors. */
export function closedScratch(why: string): Scratch {
  const refuse = (): never => {
    throw new ArtifactError('internal', why);
  };
  return {
    isClosed: true,
    fresh: refuse,
    discard: async () => refuse(),
    async sweep() {},
    async [Symbol.asyncDispose]() {},
  };
}

export async function openScratch(path: string): Promise<Scratch> {
  const folder = await openFolder(path);
  const closing = new AbortController();
  const removals = new Set<Promise<void>>();
  const fresh = (): string => `${path}/${randomUUID()}`;

  async function remove(doomed: string): Promise<void> {
    const removal = removeTree(doomed, closing.signal);
    removals.add(removal);
    try {
      await removal;
    } catch (thrown) {
      if (!closing.signal.aborted) throw thrown;
    } finally {
      removals.delete(removal);
    }
  }

  return {
    isClosed: false,
    fresh,
    async discard(doomed) {
      const aside = fresh();
      if (moveThere(doomed, aside)) await remove(aside);
    },
    async sweep() {
      for (const name of readdirSync(path)) await remove(join(path, name));
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await Promise.allSettled(removals);
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** Whether it was there. What takes microseconds is not given to Node's threads, which would take ten times that. */
function moveThere(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return false;
    throw thrown;
  }
}
