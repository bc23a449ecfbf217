import type { EntryAttributes } from '../tree/toc.ts';
import { startHelper, type Thread } from '../util/thread.ts';
import { createBatch, smallBody, writeBatch } from './body-batch.ts';
import type { BodyWork } from './body-worker.ts';
import { needsCall } from './xattr-batch.ts';

/**
 * Writes small bodies in two threads: this one writes what the other is too busy for. Creating a file is most of the
 * work for small ones: 50,000 of them on two cores took 2.0 s in one thread and 1.4 s in two. Disposing it ends the
 * second thread.
 */
export type BodyWriter = AsyncDisposable & {
  /** Whether it accepts a body: small, and without extended attributes to set. */
  takes(attributes: EntryAttributes, size: number): boolean;
  /**
   * Copies the bytes. They are written at an unknown time before `finish` returns.
   *
   * @throws the error of an earlier body.
   */
  write(body: number, attributes: EntryAttributes, bytes: Uint8Array): void;
  /** Returns how many are not written yet. */
  waiting(): number;
  /** Waits until all are written. @throws likewise. */
  finish(): Promise<void>;
};

/** The maximum batches of the second thread: the current one and the next. */
const ahead = 2;

/** @param into the directory of the layer; subdirectories for the bodies exist before they are written. */
export function openBodyWriter(into: string): BodyWriter {
  const spare = Array.from({ length: ahead }, createBatch);
  const underWay = new Set<Promise<void>>();
  let fill = createBatch();
  let thread: Thread<BodyWork, void> | undefined;
  let sent = 0;
  let failure: { readonly thrown: unknown } | undefined;

  function throwFailure(): void {
    if (failure !== undefined) throw failure.thrown;
  }

  function writeHere(): void {
    writeBatch(into, fill.batch);
    fill.clear();
  }

  async function writeThere(full: typeof fill, there: NonNullable<typeof thread>): Promise<void> {
    const { count } = full.batch;
    sent += count;
    try {
      await there.ask({ into, batch: full.batch });
    } catch (thrown) {
      failure ??= { thrown };
    }
    sent -= count;
    full.clear();
    spare.push(full);
  }

  function flush(): void {
    // Not before: most layers have fewer files than are worth its start.
    thread ??= startHelper(import.meta.url, 'body-worker');
    const next = thread && spare.pop();
    if (thread === undefined || next === undefined) return writeHere();
    const writing = writeThere(fill, thread).finally(() => underWay.delete(writing));
    underWay.add(writing);
    fill = next;
  }

  return {
    takes: (attributes, size) => size <= smallBody && !needsCall(attributes),
    write(body, attributes, bytes) {
      throwFailure();
      if (!fill.fits(bytes.length)) flush();
      fill.add(body, attributes, bytes);
    },
    waiting: () => fill.batch.count + sent,
    async finish() {
      writeHere();
      await Promise.all(underWay);
      throwFailure();
    },
    async [Symbol.asyncDispose]() {
      await thread?.[Symbol.asyncDispose]();
    },
  };
}
