import { startHelper, type Thread } from '../util/thread.ts';
import type { EntryAttributes } from '../tree/toc.ts';
import { createBatch, smallBody, writeBatch } from './body-batch.ts';
import type { BodyWork } from './body-worker.ts';
import { needsCall } from './xattr-batch.ts';

/**
 * Writes small bodies in two threads, this and another: what the other is too busy for is written here. Making a file
 * is most of the work with small ones. 50,000 of them on two cores: 2.0 s by one thread, 1.4 s by both. Disposing it
 * ends the other thread.
 */
export type BodyWriter = AsyncDisposable & {
  /** Whether a body is one of those: small, and not waited for to be given extended attributes. */
  takes(attributes: EntryAttributes, size: number): boolean;
  /** Copies the bytes; when they are written is not known before `finish`. @throws what an earlier one failed with. */
  write(body: number, attributes: EntryAttributes, bytes: Uint8Array): void;
  /** How many are not written yet. */
  waiting(): number;
  /** Waits until all are written. @throws likewise. */
  finish(): Promise<void>;
};

/** Batches that the other thread has at most: one that it writes, and the next. */
const ahead = 2;

/** @param into the folder of the layer; the folders of the bodies are there before they are written. */
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
    // Not before: most layers have fewer files than it takes to start it.
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
