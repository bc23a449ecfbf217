import { ArtifactError } from '../../util/error.ts';
import { type FileShare, type GrowingFile, sizeOf } from '../../util/growing-file.ts';
import type { Thread } from '../../util/thread.ts';
import { cancelled } from '../http/connection-error.ts';
import type { Accept, Head, HttpRequest, Receiver } from '../http/request.ts';
import { type RequestShare, toError, type WorkerAnswer, type WorkerQuestion } from './worker-protocol.ts';

/** A worker thread. */
export type WorkerLease = {
  readonly thread: Thread<WorkerQuestion, WorkerAnswer>;
  /** For each blob that it receives, the bytes to come. It may hash other blobs. */
  readonly receives: Set<() => number>;
  /** How many transports use it. */
  uses: number;
  leaving?: NodeJS.Timeout;
};

/** The worker threads, started on demand. Disposing it ends them, and no other is started. */
export type WorkerPool = AsyncDisposable & {
  /**
   * Returns a worker that receives nothing, else the one with the fewest bytes to come; undefined if none can be
   * started.
   */
  choose(): WorkerLease | undefined;
  /** Whether it is alive. */
  has(lease: WorkerLease): boolean;
  /** Keeps it alive until as many releases. */
  use(lease: WorkerLease): void;
  release(lease: WorkerLease): void;
};

/**
 * The way of one blob into its file, by a worker thread that receives, writes and hashes. Disposing it releases the
 * worker.
 */
export type WorkerTransport = AsyncDisposable & {
  isAlive(): boolean;
  /** Hashes all content of the file; undefined if that fails. @throws `cancelled`. */
  hash(signal: AbortSignal): Promise<string | undefined>;
  /** As Send; returns undefined if the response is not plain, and then nothing of it was accepted. */
  send(request: HttpRequest, accept: Accept, signal: AbortSignal): Promise<Head | undefined>;
};

/**
 * From this size, a second worker hashes a blob that is received alone: 1 GiB took 4.4 s with one worker and 3.7 s with
 * two.
 */
const manyBytes = 64 * 1024 * 1024;
/** How often the growth of a file is checked. What came since the last check is hashed at the end, in less time. */
const grownMs = 20;

/** The numbers of transports and calls in all workers. */
let numbers = 0;

/**
 * Opens a transport on the worker with the least to do; undefined if none can be started.
 *
 * @param size bytes of the blob.
 */
export function openWorkerTransport(
  pool: WorkerPool,
  file: GrowingFile,
  size: number,
): WorkerTransport | undefined {
  const receiver = pool.choose();
  if (receiver === undefined) return undefined;
  const { fd, algorithm, state, base = 0 } = file;
  const share: FileShare = { fd, algorithm, state, base };
  const transport = numbers++;
  const left = (): number => size - sizeOf(state);
  receiver.receives.add(left);
  pool.use(receiver);

  let chosen: WorkerLease | undefined;
  /** Chosen when the first body arrives: a second worker, if it is idle. */
  const hasher = (): WorkerLease => {
    if (chosen === undefined) {
      const free = left() < manyBytes ? undefined : pool.choose();
      chosen = free?.receives.size === 0 ? free : receiver;
      if (chosen !== receiver) pool.use(chosen);
    }
    return chosen;
  };

  const hash: WorkerTransport['hash'] = async signal => {
    for (;;) {
      if (signal.aborted) throw cancelled(signal);
      const { thread } = hasher();
      const answer = await thread.ask({ kind: 'hash', transport, file: share }).catch(() => undefined);
      if (answer?.kind !== 'hash') return undefined;
      if (answer.hex !== undefined) return answer.hex;
    }
  };

  /** Writes the body of a call into the file. Meanwhile the receiver, or a second worker, hashes it. */
  const pour = async (
    call: number,
    into: GrowingFile,
    { past = 0, allowances = [] }: Receiver,
    signal: AbortSignal,
  ): Promise<WorkerAnswer> => {
    const isHashed = into.hashed !== undefined;
    const hashes = isHashed && hasher() === receiver;
    let hashing: Promise<unknown> | undefined;
    const follow = async (): Promise<void> => {
      await hash(signal).catch(() => {}); // a cancelled caller gets its error below
      hashing = undefined;
    };
    const grown = (): void => {
      into.grown();
      if (isHashed && !hashes) hashing ??= follow();
    };
    const growing = setInterval(grown, grownMs);
    try {
      const body = { past, hashes, allowances };
      return await receiver.thread.ask({ kind: 'pour', call, transport, file: share, ...body });
    } catch (thrown) {
      throw thrown instanceof ArtifactError ? thrown : into.failed(thrown);
    } finally {
      clearInterval(growing);
      await hashing;
      into.grown();
    }
  };

  return {
    isAlive: () => pool.has(receiver),
    hash,
    async send(request, accept, signal) {
      const { thread } = receiver;
      const call = numbers++;
      const leave = async (): Promise<unknown> => await thread.ask({ kind: 'leave', call }).catch(() => {});
      const onAbort = (): void => void leave();
      const verify = (answer: WorkerAnswer): void => {
        if (signal.aborted) throw cancelled(signal);
        if (answer.kind === 'failed') throw toError(answer.failure);
      };
      if (signal.aborted) throw cancelled(signal);
      signal.addEventListener('abort', onAbort);
      let isOver = false;
      try {
        const begun = await thread.ask({ kind: 'get', call, request: toRequestShare(request) });
        verify(begun);
        if (begun.kind !== 'head') return undefined;
        const receive = accept(begun.head);
        const { file: into } = receive;
        const ended = await (into ? pour(call, into, receive, signal) : thread.ask({ kind: 'rest', call }));
        isOver = true;
        verify(ended);
        const { rest, hex: known } = ended.kind === 'ended' ? ended : {};
        if (rest !== undefined) void receive(rest);
        const hex = into?.hashed && (known ?? (await hash(signal)));
        if (hex !== undefined) into?.hashed?.(hex);
        return begun.head;
      } finally {
        signal.removeEventListener('abort', onAbort);
        if (!isOver) await leave();
      }
    },
    async [Symbol.asyncDispose]() {
      receiver.receives.delete(left);
      const used = [...new Set([receiver, chosen ?? receiver])];
      for (const worker of used) {
        void worker.thread.ask({ kind: 'close', transport }).catch(() => {}); // it works on none of its calls
        pool.release(worker);
      }
    },
  };
}

function toRequestShare(request: HttpRequest): RequestShare {
  const { url, headers, trust, connectMs, responseMs, origin, fence } = request;
  const fenced = fence === undefined ? {} : { fence };
  return { url: url.href, headers, trust, connectMs, responseMs, origin, ...fenced };
}
