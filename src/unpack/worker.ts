import { parentPort, workerData } from 'node:worker_threads';
import type { TocSummary } from '../oci/toc.ts';
import { toArtifactError, type ErrorCode } from '../util/error.ts';
import { unpackLayer, type UnpackJob } from './job.ts';

/** What the thread says, once. */
export type UnpackMessage =
  | { readonly kind: 'done'; readonly summary: TocSummary }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string };

function post(message: UnpackMessage): void {
  // A port of this process has no origin.
  // oxlint-disable-next-line unicorn/require-post-message-target-origin
  parentPort?.postMessage(message);
}

try {
  post({ kind: 'done', summary: await unpackLayer(workerData as UnpackJob) });
} catch (error) {
  const { code, message } = toArtifactError(error);
  post({ kind: 'failed', code, message });
}
