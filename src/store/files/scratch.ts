import { randomUUID } from 'node:crypto';
import { readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { ArtifactError, errnoOf } from '../../util/error.ts';
import { despiteFlags } from './change-flags.ts';
import { openDirectory } from './directory.ts';
import { removeTree } from './tree-removal.ts';

/**
 * `tmp/`: everything incomplete and everything to be deleted, under random names. Nothing reads it, so the next start
 * deletes what a crash leaves. Disposing it ends running deletions.
 */
export type Scratch = AsyncDisposable & {
  /** Whether writing is not possible. */
  readonly isClosed: boolean;
  /** Returns an unused path in it. @throws the reason if it is closed. */
  fresh(): string;
  /** Moves a file or tree here in one rename, then deletes it in slices. A missing path is success. */
  discard(path: string): Promise<void>;
  /** Deletes its present content. */
  sweep(): Promise<void>;
};

/** The variant for a read-only store. @param why the reason, for errors. */
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
  const directory = await openDirectory(path);
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
      await directory[Symbol.asyncDispose]();
    },
  };
}

/**
 * Returns whether the path existed. Calls of microseconds are synchronous: through Node's thread pool they would take
 * ten times that.
 */
function moveThere(from: string, to: string): boolean {
  try {
    despiteFlags([from], () => renameSync(from, to));
    return true;
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return false;
    throw thrown;
  }
}
