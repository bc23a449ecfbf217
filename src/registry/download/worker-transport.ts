import { ArtifactError } from '../../util/error.ts';
import { type FileShare, type GrowingFile, sizeOf } from '../../util/growing-file.ts';
import type { Fallback, PlainSend } from './fallback.ts';
import type { HttpRequest, Send } from '../http/request.ts';
import { type WorkerAnswer, type WorkerQuestion, type RequestShare, toError } from './worker-protocol.ts';
import { cancelled } from '../http/connection-error.ts';
import { TransientError } from '../http/retry.ts';
import type { WorkerLease, WorkerPool } from './worker-pool.ts';

/** The way of one blob, which is taken when something is sent. Disposed, it is forgotten where it led. */
export type WorkerTransport = AsyncDisposable & { readonly send: Send };

/** Ways to receive blobs. */
export type WorkerTransports = {
  /**
   * To a file, by a thread of its own that hashes as it writes; what is in it already is hashed first. Else, for few
   * bytes, and where there is no room for a thread, by this one. @param size of the blob.
   */
  open(file: GrowingFile | undefined, size: number): WorkerTransport;
};

/** Who receives a blob, with bytes left to come; and who hashes it, chosen when its first body comes. */
type Way = {
  readonly line: number;
  readonly receiver: WorkerLease;
  readonly left: () => number;
  hasher: WorkerLease | undefined;
};

/** Bytes below which a blob is here before a thread is. */
const fewBytes = 1024 * 1024;
/** Bytes from which another thread hashes what is received alone: 1 GiB took 4.4 s by one thread and 3.7 s by two. */
const manyBytes = 64 * 1024 * 1024;
/** How often it is looked how far a file has grown. */
const grownMs = 10;

/** @param here receives in this thread. */
export function openWorkerTransports(seats: WorkerPool, here: Send, fallback: Fallback): WorkerTransports {
  let ids = 0;

  const takeWay = ({ state }: GrowingFile, size: number): Way | undefined => {
    const receiver = seats.choose();
    if (receiver === undefined) return undefined;
    const left = (): number => size - sizeOf(state);
    receiver.receives.add(left);
    seats.use(receiver);
    return { line: ids++, receiver, left, hasher: undefined };
  };
  /** Another one, if that has nothing else to do. */
  const hasherOf = (way: Way): WorkerLease => {
    if (way.hasher === undefined) {
      const free = way.left() < manyBytes ? undefined : seats.choose();
      way.hasher = free?.receives.size === 0 ? free : way.receiver;
      if (way.hasher !== way.receiver) seats.use(way.hasher);
    }
    return way.hasher;
  };
  const leaveWay = async ({ line, receiver, hasher = receiver, left }: Way): Promise<void> => {
    receiver.receives.delete(left);
    const used = [...new Set([receiver, hasher])];
    await Promise.allSettled(used.map(({ thread }) => thread.ask({ kind: 'close', line })));
    for (const seat of used) seats.release(seat);
  };

  /** @throws Passing if the thread has ended; else what it threw. */
  async function ask(seat: WorkerLease, question: WorkerQuestion): Promise<WorkerAnswer> {
    try {
      return await seat.thread.ask(question);
    } catch (thrown) {
      if (seats.has(seat)) throw thrown;
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      throw new TransientError('unavailable', `the thread that received it has ended (${why})`, thrown);
    }
  }

  /** Hashes all that is in the file; undefined if it cannot. @throws `cancelled`. */
  async function hash(way: Way, file: GrowingFile, signal: AbortSignal): Promise<string | undefined> {
    const question = { kind: 'hash', line: way.line, file: toFileShare(file) } as const;
    for (;;) {
      if (signal.aborted) throw cancelled(signal);
      const answer = await ask(hasherOf(way), question).catch(() => undefined);
      if (answer?.kind !== 'hash') return undefined;
      if (answer.hex !== undefined) return answer.hex;
    }
  }

  /** The body of a call, into the file. While it grows, it is hashed: by the receiver, or behind its back. */
  async function pour(
    way: Way,
    call: number,
    file: GrowingFile,
    past: number,
    signal: AbortSignal,
  ): Promise<WorkerAnswer> {
    const { line, receiver } = way;
    const hashes = hasherOf(way) === receiver;
    let hashing: Promise<unknown> | undefined;
    const follow = async (): Promise<void> => {
      await hash(way, file, signal).catch(() => {}); // who was cancelled hears of it below
      hashing = undefined;
    };
    const grown = (): void => {
      file.grown();
      if (!hashes) hashing ??= follow();
    };
    const growing = setInterval(grown, grownMs);
    try {
      return await ask(receiver, { kind: 'pour', call, line, file: toFileShare(file), past, hashes });
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
      if (way !== undefined && !seats.has(way.receiver)) await leave();
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
