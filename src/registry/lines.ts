import { type FileShare, type GrowingFile, lifeOf, sizeOf } from '../util/growing-file.ts';
import type { HopRequest, Send } from './hop.ts';
import { type LineAnswer, type RequestShare, toError } from './line-message.ts';
import type { Detour, PlainSend } from './detour.ts';
import { cancelled } from './outage.ts';
import type { Seat, Seats } from './seats.ts';

/** The way of one blob. Disposed, it is forgotten where it led. */
export type Line = AsyncDisposable & { readonly send: Send };

/** Ways to receive blobs. */
export type Lines = {
  /**
   * To a file, by a thread of its own that hashes as it writes; what is in it already is hashed first. Else, for few
   * bytes, and where there is no room for a thread, by this one.
   * @param bytes that are to come.
   * @throws `cancelled`.
   */
  open(file: GrowingFile | undefined, bytes: number, signal: AbortSignal): Promise<Line>;
};

/** Who receives a blob, with bytes left to come, and who hashes it: how far it was asked to, in which life of the file. */
type Way = {
  readonly line: number;
  readonly receiver: Seat;
  readonly left: () => number;
  hasher: Seat | undefined;
  asked: number;
  life: bigint | undefined;
};

/** Bytes below which a blob is here before a thread is. */
const fewBytes = 1024 * 1024;
/** Bytes from which another thread hashes what is received alone: 1 GiB took 4.4 s by one thread and 3.7 s by two. */
const manyBytes = 64 * 1024 * 1024;
/** Bytes hashed at a time of what is in a file, some 3 ms: those that share a thread take turns. */
const hashStep = 4 * 1024 * 1024;
/** How often it is looked how far a file has grown. */
const grownMs = 10;

/** @param here receives in this thread. */
export function openLines(seats: Seats, here: Send, detour: Detour): Lines {
  let ids = 0;

  const takeWay = ({ state }: GrowingFile, bytes: number): Way | undefined => {
    const receiver = seats.choose();
    if (receiver === undefined) return undefined;
    const size = sizeOf(state) + bytes;
    const left = (): number => size - sizeOf(state);
    receiver.receives.add(left);
    seats.use(receiver);
    return { line: ids++, receiver, left, hasher: undefined, asked: 0, life: undefined };
  };
  /** Chosen as late as it can be, when those that come together are there. */
  const hasherOf = (way: Way): Seat => {
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

  /** Hashes all that is in the file by now; undefined if it could not. @throws `cancelled`. */
  async function hash(way: Way, file: GrowingFile, signal?: AbortSignal): Promise<string | undefined> {
    const life = lifeOf(file.state);
    if (way.life !== life) way.asked = 0;
    way.life = life;
    for (;;) {
      if (signal?.aborted === true) throw cancelled(signal);
      const size = sizeOf(file.state);
      way.asked = Math.min(size, way.asked + hashStep);
      const question = { kind: 'hash', line: way.line, file: toFileShare(file), to: way.asked } as const;
      const answer = await hasherOf(way)
        .thread.ask(question)
        .catch(() => undefined);
      if (answer?.kind !== 'hash') return undefined;
      if (way.asked === size) return answer.hex;
    }
  }

  /** The body of a call, into the file. While it grows, it is hashed: by the receiver, or behind its back. */
  async function pour(way: Way, call: number, file: GrowingFile): Promise<LineAnswer> {
    const { line, receiver } = way;
    const hashes = hasherOf(way) === receiver;
    let hashing: Promise<unknown> | undefined;
    const grown = (): void => {
      file.grown();
      if (!hashes) {
        hashing ??= hash(way, file).finally(() => {
          hashing = undefined;
        });
      }
    };
    const growing = setInterval(grown, grownMs);
    try {
      return await receiver.thread.ask({ kind: 'pour', call, line, file: toFileShare(file), hashes });
    } catch (thrown) {
      throw file.failed(thrown);
    } finally {
      clearInterval(growing);
      await hashing;
      file.grown();
    }
  }

  async function sendPlain(
    way: Way,
    ...[request, accept, signal]: Parameters<PlainSend>
  ): ReturnType<PlainSend> {
    const { thread } = way.receiver;
    const call = ids++;
    const leave = async (): Promise<unknown> => await thread.ask({ kind: 'leave', call }).catch(() => {});
    const onAbort = (): void => void leave();
    const verify = (answer: LineAnswer): void => {
      if (signal.aborted) throw cancelled(signal);
      if (answer.kind === 'failed') throw toError(answer.failure);
    };
    if (signal.aborted) throw cancelled(signal);
    signal.addEventListener('abort', onAbort);
    try {
      const begun = await thread.ask({ kind: 'get', call, request: toRequestShare(request) });
      verify(begun);
      if (begun.kind !== 'head') return undefined;
      const receiver = accept(begun.head);
      const { file } = receiver;
      const ended = await (file ? pour(way, call, file) : thread.ask({ kind: 'rest', call }));
      verify(ended);
      if (ended.kind === 'ended' && ended.rest !== undefined) receiver(ended.rest);
      const hex = file && (await hash(way, file, signal));
      if (hex !== undefined) file?.hashed(hex);
      return begun.head;
    } finally {
      signal.removeEventListener('abort', onAbort);
      await leave();
    }
  }

  return {
    async open(file, bytes, signal) {
      const way = file && bytes >= fewBytes ? takeWay(file, bytes) : undefined;
      if (file === undefined || way === undefined) return { send: here, async [Symbol.asyncDispose]() {} };
      try {
        if (sizeOf(file.state) > 0) await hash(way, file, signal);
      } catch (thrown) {
        await leaveWay(way);
        throw thrown;
      }
      return {
        send: detour.by((...asked) => sendPlain(way, ...asked)),
        [Symbol.asyncDispose]: () => leaveWay(way),
      };
    },
  };
}

function toFileShare({ fd, algorithm, state }: GrowingFile): FileShare {
  return { fd, algorithm, state };
}

function toRequestShare({ url, headers, insecure, trust, connectMs }: HopRequest): RequestShare {
  return { url: url.href, headers, insecure, trust, connectMs };
}
