import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { HashAnswer, HashStep } from './hash-worker.ts';

/** A thread that hashes pieces of files. It keeps the process alive only while it owes an answer. */
export type HashThread = AsyncDisposable & {
  /** Pieces are taken in the order they came. Never rejects: a thread that has ended answers `failed`. */
  ask(step: HashStep): Promise<HashAnswer>;
};

/** Beside us, in the source and in a bundle. */
const workerFile = new URL(`./hash-worker${extname(import.meta.url)}`, import.meta.url);

/** MiB. What it reads into is outside of the heap. */
const resourceLimits = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 16 };

/** @param onEnd called once, however it ends. */
export function startHashThread(onEnd: () => void): HashThread {
  const worker = new Worker(workerFile, { resourceLimits });
  const waiting: ((answer: HashAnswer) => void)[] = [];
  let failure: HashAnswer = { kind: 'failed', message: 'the thread that hashes has ended' };
  let ended = false;

  worker.unref();
  worker.on('message', (answer: HashAnswer) => {
    waiting.shift()?.(answer);
    if (waiting.length === 0) worker.unref();
  });
  worker.on('error', thrown => {
    failure = { kind: 'failed', message: `the thread that hashes failed: ${String(thrown)}` };
  });
  worker.on('exit', () => {
    ended = true;
    for (const give of waiting.splice(0)) give(failure);
    onEnd();
  });

  return {
    ask(step) {
      if (ended) return Promise.resolve(failure);
      worker.ref();
      // A thread of this process has no origin.
      // oxlint-disable-next-line unicorn/require-post-message-target-origin
      worker.postMessage(step);
      return new Promise(resolve => waiting.push(resolve));
    },
    async [Symbol.asyncDispose]() {
      await worker.terminate();
    },
  };
}
