import { setPriority } from 'node:os';
import { giveWay } from '../../linux/io.ts';
import type { HashFile } from '../../ports/store.ts';
import { abortable } from '../../util/abortable.ts';
import { startThread, type Thread } from '../../util/thread.ts';
import type { Hashed, HashQuestion } from './hash-worker.ts';

/**
 * Hashes files in the background: in a thread with the lowest priority for disk and CPU, and at a limited rate.
 * Disposing it ends the thread.
 */
export type SlowHash = AsyncDisposable & { readonly hash: HashFile };

/**
 * Bytes per second: a cache of 1 TiB takes four and a half hours, and a disk of 500 MB/s is busy for an eighth of them.
 */
const rate = 64 * 1024 * 1024;
/** The lowest priority of setpriority(2). */
const niceness = 19;

export function openSlowHash(bytesPerSecond: number = rate): SlowHash {
  let thread: Thread<HashQuestion, Hashed> | undefined;

  const start = (): Thread<HashQuestion, Hashed> =>
    startThread(import.meta.url, 'hash-worker', {
      answer: (id: number) => {
        giveWay(id);
        setPriority(id, niceness);
      },
      onEnd: () => {
        thread = undefined;
      },
    });

  return {
    async hash(path, algorithm, signal) {
      signal.throwIfAborted();
      const asked = (thread ??= start()).ask({ path, algorithm, bytesPerSecond });
      return abortable(asked, signal);
    },
    async [Symbol.asyncDispose]() {
      await thread?.[Symbol.asyncDispose]();
    },
  };
}
