import type { HashFile } from '../../ports/store.ts';
import { abortable } from '../../util/abortable.ts';
import { startThread } from '../../util/thread.ts';
import type { Hashed, HashQuestion } from './hash-worker.ts';

/** Hashes a file at once, in a thread that ends with it. */
export const hashInThread: HashFile = async (path, algorithm, signal) => {
  signal.throwIfAborted();
  await using thread = startThread<HashQuestion, Hashed>(import.meta.url, 'hash-worker', { answer() {} });
  return await abortable(thread.ask({ path, algorithm, bytesPerSecond: Infinity }), signal);
};
