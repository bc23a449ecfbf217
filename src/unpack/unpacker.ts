import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Digest } from '../oci/digest.ts';
import type { TocSummary } from '../oci/toc.ts';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { createSemaphore } from '../util/mutex.ts';
import type { UnpackJob } from './job.ts';
import type { UnpackLimits } from './limits.ts';
import type { UnpackMessage } from './worker.ts';

export type Unpacker = AsyncDisposable & {
  /**
   * Unpacks a verified layer file into an empty folder, in a thread of its own: every body under its number, and
   * the table of contents (oci/toc-text.ts). After a failure the folder holds a part of them, and nothing writes to it
   * any more.
   *
   * @throws ArtifactError `unmountable` naming layer and entry; `exhausted`; the signal's reason, promptly.
   */
  unpack(source: string, digest: Digest, into: string, signal: AbortSignal): Promise<TocSummary>;
};

/** Each unpacks with one thread, and uncompresses with another. */
const maxParallel = 2;

/** Beside us, in the source and in a bundle: ./worker.ts or ./worker.js. */
const workerFile = new URL(`./worker${extname(import.meta.url)}`, import.meta.url);

/** MiB. The table of contents is written as it grows; what stays are a few chunks and the headers of one entry. */
const resourceLimits = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 128 };

/** Disposing it ends what is under way. */
export function openUnpacker(limits: UnpackLimits): Unpacker {
  const slots = createSemaphore(maxParallel);
  const workers = new Set<Worker>();
  return {
    async unpack(source, digest, into, signal) {
      using _ = await slots.acquire(signal);
      signal.throwIfAborted();
      const job: UnpackJob = { source, digest, into, limits };
      const worker = new Worker(workerFile, { workerData: job, resourceLimits });
      const end = (): void => void worker.terminate();
      workers.add(worker);
      signal.addEventListener('abort', end);
      try {
        return await receiveSummary(worker, digest, signal);
      } finally {
        signal.removeEventListener('abort', end);
        workers.delete(worker);
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...workers].map(worker => worker.terminate()));
    },
  };
}

/** Settles when the thread has ended, so that the folder is the caller's alone again. */
function receiveSummary(worker: Worker, digest: Digest, signal: AbortSignal): Promise<TocSummary> {
  const { promise, resolve, reject } = Promise.withResolvers<TocSummary>();
  let summary: TocSummary | undefined;
  let failure: unknown = new ArtifactError('cancelled', `unpacking layer ${digest} was given up`);
  worker.on('message', (message: UnpackMessage) => {
    switch (message.kind) {
      case 'done':
        summary = message.summary;
        break;
      case 'failed':
        failure = new ArtifactError(message.code, message.message);
        break;
    }
  });
  worker.on('error', error => {
    failure = toWorkerError(error, digest);
  });
  worker.on('exit', () => {
    if (signal.aborted) reject(signal.reason);
    else if (summary === undefined) reject(failure);
    else resolve(summary);
  });
  return promise;
}

function toWorkerError(error: unknown, digest: Digest): ArtifactError {
  return errnoOf(error) === 'ERR_WORKER_OUT_OF_MEMORY'
    ? new ArtifactError('unmountable', `layer ${digest} needs too much memory to unpack`, error)
    : new ArtifactError('internal', `unpacking layer ${digest} failed: ${String(error)}`, error);
}
