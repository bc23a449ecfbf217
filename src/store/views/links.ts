import { linkSync } from 'node:fs';
import { encodeName } from '../../util/name.ts';
import { startHelper, type Thread } from '../../util/thread.ts';

/** A hard link to be made. `at` is text as of util/name.ts. */
export type Link<Of> = { readonly of: Of; readonly from: string; readonly at: string };

/**
 * Makes hard links, in no order; a second thread takes part where there are thousands. 50,000 of them take one thread
 * 0.6 s. Disposing it ends the other thread.
 */
export type Links<Of> = AsyncDisposable & {
  add(link: Link<Of>): void;
  /** Answers those that could not be made, once the others are there. */
  finish(): Promise<readonly Link<Of>[]>;
};

/** Links handed over at once, some 3 ms. */
const batchLinks = 256;
/** Batches that the other thread has at most: one that it makes, and the next. */
const ahead = 2;
/** Links after which it is started; that takes as long as 3,000 of them. */
const worthAThread = 4096;

export function openLinks<Of>(): Links<Of> {
  const failed: Link<Of>[] = [];
  const underWay = new Set<Promise<void>>();
  let batch: Link<Of>[] = [];
  let made = 0;
  let thread: Thread<string, readonly number[]> | undefined;
  let failure: { readonly thrown: unknown } | undefined;

  function makeHere(links: readonly Link<Of>[]): void {
    for (const link of links) {
      try {
        linkSync(link.from, encodeName(link.at));
      } catch {
        failed.push(link);
      }
    }
  }

  async function makeThere(links: readonly Link<Of>[], there: NonNullable<typeof thread>): Promise<void> {
    try {
      const indexes = await there.ask(links.map(({ from, at }) => `${from}\0${at}`).join('\0'));
      failed.push(...links.filter((_, index) => indexes.includes(index)));
    } catch (thrown) {
      failure ??= { thrown };
    }
  }

  function flush(): void {
    const links = batch;
    batch = [];
    made += links.length;
    if (made < worthAThread || underWay.size === ahead) return makeHere(links);
    thread ??= startHelper(import.meta.url, 'link-worker');
    if (thread === undefined) return makeHere(links);
    const making = makeThere(links, thread).finally(() => underWay.delete(making));
    underWay.add(making);
  }

  return {
    add(link) {
      batch.push(link);
      if (batch.length === batchLinks) flush();
    },
    async finish() {
      makeHere(batch);
      batch = [];
      await Promise.all(underWay);
      if (failure !== undefined) throw failure.thrown;
      return failed;
    },
    async [Symbol.asyncDispose]() {
      await thread?.[Symbol.asyncDispose]();
    },
  };
}
