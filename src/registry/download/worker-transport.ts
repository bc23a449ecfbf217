import { ArtifactError } from '../../util/error.ts';
import { type FileShare, type GrowingFile, sizeOf } from '../../util/growing-file.ts';
import type { Fallback, PlainSend } from './fallback.ts';
import type { HttpRequest, Send } from '../http/request.ts';
import { type WorkerAnswer, type WorkerQuestion, type RequestShare, toError } from './worker-protocol.ts';
import { cancelled } from '../http/connection-error.ts';
import { TransientError } from '../http/retry.ts';
import type { WorkerLease, WorkerPool } from './worker-pool.ts';

/** The transport of one blob, opened on the first request. Disposing it releases the worker. */
export type WorkerTransport = AsyncDisposable & { readonly send: Send };

/** Transports that receive blobs. */
export type WorkerTransports = {
  /**
   * Opens a transport into a file: a worker thread receives, writes and hashes, and existing content is hashed first.
   * This thread receives small blobs, and all blobs if no worker can be started.
   *
   * @param size bytes of the blob.
   */
  open(file: GrowingFile | undefined, size: number): WorkerTransport;
};

/**
 * The worker that receives a blob, with the bytes to come; and the one that hashes it, chosen when its first body
 * arrives.
 */
type Way = {
  readonly transport: number;
  readonly receiver: WorkerLease;
  readonly left: () => number;
  hasher: WorkerLease | undefined;
};

/** Below this size, a blob arrives before a worker has started. */
const fewBytes = 1024 * 1024;
/**
 * From this size, a second worker hashes a blob that is received alone: 1 GiB took 4.4 s with one worker and 3.7 s with
 * two.
 */
const manyBytes = 64 * 1024 * 1024;
/** How often the growth of a file is checked. */
const grownMs = 10;

/** @param here receives in this thread. */
export function openWorkerTransports(pool: WorkerPool, here: Send, fallback: Fallback): WorkerTransports {
  let ids = 0;

  const takeWay = ({ state }: GrowingFile, size: number): Way | undefined => {
    const receiver = pool.choose();
    if (receiver === undefined) return undefined;
    const left = (): number => size - sizeOf(state);
    receiver.receives.add(left);
    pool.use(receiver);
    return { transport: ids++, receiver, left, hasher: undefined };
  };
  /** A second worker, if it is idle. */
  const hasherOf = (way: Way): WorkerLease => {
    if (way.hasher === undefined) {
      const free = way.left() < manyBytes ? undefined : pool.choose();
      way.hasher = free?.receives.size === 0 ? free : way.receiver;
      if (way.hasher !== way.receiver) pool.use(way.hasher);
    }
    return way.hasher;
  };
  const leaveWay = async ({ transport, receiver, hasher = receiver, left }: Way): Promise<void> => {
    receiver.receives.delete(left);
    const used = [...new Set([receiver, hasher])];
    await Promise.allSettled(used.map(({ thread }) => thread.ask({ kind: 'close', transport })));
    for (const worker of used) pool.release(worker);
  };

  /** @throws TransientError if the worker has ended; else what it threw. */
  async function ask(worker: WorkerLease, question: WorkerQuestion): Promise<WorkerAnswer> {
    try {
      return await worker.thread.ask(question);
    } catch (thrown) {
      if (pool.has(worker)) throw thrown;
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      throw new TransientError('unavailable', `the thread that received it has ended (${why})`, thrown);
    }
  }

  /** Hashes all content of the file; undefined if that fails. @throws `cancelled`. */
  async function hash(way: Way, file: GrowingFile, signal: AbortSignal): Promise<string | undefined> {
    const question = { kind: 'hash', transport: way.transport, file: toFileShare(file) } as const;
    for (;;) {
      if (signal.aborted) throw cancelled(signal);
      const answer = await ask(hasherOf(way), question).catch(() => undefined);
      if (answer?.kind !== 'hash') return undefined;
      if (answer.hex !== undefined) return answer.hex;
    }
  }

  /** Writes the body of a call into the file. Meanwhile the receiver, or a second worker, hashes it. */
  async function pour(
    way: Way,
    call: number,
    file: GrowingFile,
    past: number,
    signal: AbortSignal,
  ): Promise<WorkerAnswer> {
    const { transport, receiver } = way;
    const hashes = hasherOf(way) === receiver;
    let hashing: Promise<unknown> | undefined;
    const follow = async (): Promise<void> => {
      await hash(way, file, signal).catch(() => {}); // a cancelled caller gets its error below
      hashing = undefined;
    };
    const grown = (): void => {
      file.grown();
      if (!hashes) hashing ??= follow();
    };
    const growing = setInterval(grown, grownMs);
    try {
      return await ask(receiver, { kind: 'pour', call, transport, file: toFileShare(file), past, hashes });
    } catch (thrown) {
      throw thrown instanceof ArtifactError ? thrown : file.failed(thrown);
    } finally {
      clearInterval(growing);
      await hashing;
      file.grown();
    }
  }

  async function sendBy(
    way: Way,
    ...[request, accept, signal]: Parameters<PlainSend>
  ): ReturnType<PlainSend> {
    const { receiver } = way;
    const call = ids++;
    const leave = async (): Promise<unknown> => await ask(receiver, { kind: 'leave', call }).catch(() => {});
    const onAbort = (): void => void leave();
    const verify = (answer: WorkerAnswer): void => {
      if (signal.aborted) throw cancelled(signal);
      if (answer.kind === 'failed') throw toError(answer.failure);
    };
    if (signal.aborted) throw cancelled(signal);
    signal.addEventListener('abort', onAbort);
    try {
      const begun = await ask(receiver, { kind: 'get', call, request: toRequestShare(request) });
      verify(begun);
      if (begun.kind !== 'head') return undefined;
      const receive = accept(begun.head);
      const { file, past = 0 } = receive;
      const ended = await (file
        ? pour(way, call, file, past, signal)
        : ask(receiver, { kind: 'rest', call }));
      verify(ended);
      if (ended.kind === 'ended' && ended.rest !== undefined) receive(ended.rest);
      const hex = file && (await hash(way, file, signal));
      if (hex !== undefined) file?.hashed(hex);
      return begun.head;
    } finally {
      signal.removeEventListener('abort', onAbort);
      await leave();
    }
  }

  function openTo(file: GrowingFile, size: number): WorkerTransport {
    let way: Way | undefined;
    const leave = async (): Promise<void> => {
      const left = way;
      way = undefined;
      if (left !== undefined) await leaveWay(left);
    };
    const send: Send = async (request, accept, signal) => {
      if (way !== undefined && !pool.has(way.receiver)) await leave();
      if (way === undefined) {
        way = takeWay(file, size);
        if (way !== undefined && sizeOf(file.state) > 0) await hash(way, file, signal);
      }
      const by = way;
      if (by === undefined) return await here(request, accept, signal);
      return await fallback((...asked) => sendBy(by, ...asked))(request, accept, signal);
    };
    return { send, [Symbol.asyncDispose]: leave };
  }

  return {
    open: (file, size) =>
      file === undefined || size < fewBytes
        ? { send: here, async [Symbol.asyncDispose]() {} }
        : openTo(file, size),
  };
}

function toFileShare({ fd, algorithm, state }: GrowingFile): FileShare {
  return { fd, algorithm, state };
}

function toRequestShare({ url, headers, trust, connectMs, fence }: HttpRequest): RequestShare {
  return { url: url.href, headers, trust, connectMs, ...(fence === undefined ? {} : { fence }) };
}
