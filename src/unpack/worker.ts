import { parentPort, workerData } from 'node:worker_threads';
import type { TocEntry } from '../oci/toc.ts';
import { toArtifactError, type ErrorCode } from '../util/error.ts';
import { unpackLayer, type UnpackJob, type UnpackSummary } from './job.ts';

/** What the thread says: entries while it works, then one of the others. */
export type UnpackMessage =
  | { readonly kind: 'entries'; readonly entries: readonly TocEntry[] }
  | { readonly kind: 'done'; readonly summary: UnpackSummary }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string };

/** Entries of one message: few enough that neither thread stops for long, or holds the table twice. */
const batchSize = 1000;

function post(message: UnpackMessage): void {
  // A port of this process has no origin.
  // oxlint-disable-next-line unicorn/require-post-message-target-origin
  parentPort?.postMessage(message);
}

let batch: TocEntry[] = [];

function flush(): void {
  post({ kind: 'entries', entries: batch });
  batch = [];
}

try {
  const summary = await unpackLayer(workerData as UnpackJob, entry => {
    if (batch.push(entry) === batchSize) flush();
  });
  flush();
  post({ kind: 'done', summary });
} catch (error) {
  const { code, message } = toArtifactError(error);
  post({ kind: 'failed', code, message });
}
