import { linkSync } from 'node:fs';
import { encodeName } from '../../util/name.ts';
import { startHelper, type Thread } from '../../util/thread.ts';

/** A hard link to make. `at` is text as of util/name.ts. */
export type Link<Of> = { readonly of: Of; readonly from: string; readonly at: string };

/**
 * Makes hard links, in any order. A second thread takes part if there are thousands: 50,000 of them take one thread 0.6
 * s. Disposing it ends the second thread.
 */
export type Links<Of> = AsyncDisposable & {
  add(link: Link<Of>): void;
  /** Returns the links that could not be made, when the others exist. */
  finish(): Promise<readonly Link<Of>[]>;
};

/** The links in one batch, about 3 ms. */
const batchLinks = 256;
/** The maximum batches of the second thread: the current one and the next. */
const ahead = 2;
/** The links after which it is started; the start takes as long as 3,000 links. */
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
