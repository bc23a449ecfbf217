import { type ClientReadableStream, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import type { BlobTask, Dfdaemon, TaskNews } from '../../ports/dragonfly.ts';
import { ArtifactError, type ErrorCode, toArtifactError } from '../../util/error.ts';
import { printable } from '../../util/printable.ts';
import type { DownloadTaskResponse__Output } from '../wire/dfdaemon/v2/DownloadTaskResponse.ts';
import { loadDragonfly } from './definitions.ts';

/** The first message lists all pieces of a blob. */
const options = { 'grpc.max_receive_message_length': 64 * 1024 * 1024 };
const usualPriority = 6;

/** The codes of what a registry answered dfdaemon, by HTTP status. Others are `unavailable`. */
const refusals: ReadonlyMap<number, ErrorCode> = new Map([
  [401, 'unauthenticated'],
  [403, 'denied'],
  [404, 'not-found'],
]);

/** A client of dfdaemon behind a socket. It connects with the first download. */
export function openDfdaemon(socket: string): Dfdaemon & Disposable {
  const { DfdaemonDownload } = loadDragonfly();
  const client = new DfdaemonDownload(`unix:${socket}`, credentials.createInsecure(), options);
  return {
    async *download(task, signal) {
      signal.throwIfAborted();
      const call = client.DownloadTask({ download: toDownload(task) }, new Metadata());
      using watch = watchSilence(call, task.silenceMs, signal);
      try {
        for await (const message of call as AsyncIterable<DownloadTaskResponse__Output>) {
          watch.heard();
          const news = toNews(message);
          if (news !== undefined) yield news;
        }
      } catch (thrown) {
        if (signal.aborted) throw toArtifactError(signal.reason);
        if (!watch.isSilent()) throw toFailure(thrown);
        const seconds = Math.round(task.silenceMs / 1000);
        throw new ArtifactError('unavailable', `dfdaemon sent nothing for ${seconds} s`);
      }
    },
    [Symbol.dispose]: () => client.close(),
  };
}

function toDownload({ url, headers, path }: BlobTask) {
  return {
    url,
    priority: usualPriority,
    request_header: headers,
    output_path: path,
    force_hard_link: true,
    enable_task_id_based_blob_digest: true,
  };
}

function toNews({
  download_task_started_response: started,
  download_piece_finished_response: finished,
}: DownloadTaskResponse__Output): TaskNews | undefined {
  if (started) return { kind: 'size', bytes: started.content_length };
  const piece = finished?.piece;
  return piece ? { kind: 'piece', offset: piece.offset, length: piece.length } : undefined;
}

/** Ends a call that is silent for too long, or whose signal aborts. Disposing it ends the call. */
function watchSilence(call: ClientReadableStream<unknown>, silenceMs: number, signal: AbortSignal) {
  let isSilent = false;
  const timer = setTimeout(() => {
    isSilent = true;
    call.cancel();
  }, silenceMs);
  const cancel = (): void => call.cancel();
  signal.addEventListener('abort', cancel);
  return {
    heard: () => void timer.refresh(),
    isSilent: () => isSilent,
    [Symbol.dispose]() {
      clearTimeout(timer);
      signal.removeEventListener('abort', cancel);
      call.on('error', () => {}); // of the end that this makes
      call.cancel();
    },
  };
}

/** dfdaemon attaches what the registry answered, as JSON. */
function toFailure(thrown: unknown): ArtifactError {
  const { details, metadata } = thrown as Partial<ServiceError>;
  const status = statusOf(metadata?.get('grpc-status-details-bin')[0]);
  const code = (status === undefined ? undefined : refusals.get(status)) ?? 'unavailable';
  const why = printable(details ?? String(thrown)).slice(0, 200);
  const what = status === undefined ? why : `the registry answered ${status} (${why})`;
  return new ArtifactError(code, `dfdaemon: ${what}`, thrown);
}

function statusOf(attached: unknown): number | undefined {
  if (!Buffer.isBuffer(attached)) return undefined;
  const [, status] = /"status_code":\s*(\d{3})\b/.exec(attached.toString('latin1')) ?? [];
  return status === undefined ? undefined : Number(status);
}
