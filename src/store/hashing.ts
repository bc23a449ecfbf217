import type { Algorithm } from '../oci/digest.ts';
import { startThread } from '../util/thread.ts';
import { type HashThread, type RunningHash, startHash } from './running-hash.ts';

/** Hashes of files that grow, in a few threads of their own. Disposing it ends the threads. */
export type Hashing = AsyncDisposable & {
  /** Must be ended, once or more often. The file stays open until then. */
  start(fd: number, algorithm: Algorithm): RunningHash;
};

/**
 * What receives and writes is one thread, about as fast as one that hashes; the other is for catching up at the end of
 * several downloads. 8 x 128 MiB on two cores: 1.34 s hashed where they are received, 1.25 s with one thread, 1.12 s
 * with two.
 */
const maxThreads = 2;
/** A thread is 9 MB, and 25 ms to start. */
const idleMs = 250;

type Seat = { readonly thread: HashThread; hashes: number; leaving?: NodeJS.Timeout };

export function openHashing(): Hashing {
  const seats = new Set<Seat>();
  let ids = 0;

  const addSeat = (): Seat => {
    const onEnd = (): void => void seats.delete(seat);
    const seat: Seat = {
      thread: startThread(import.meta.url, 'hash-worker', undefined, onEnd),
      hashes: 0,
    };
    seats.add(seat);
    return seat;
  };
  const chooseSeat = (): Seat => {
    const [least] = [...seats].toSorted((a, b) => a.hashes - b.hashes);
    return least === undefined || (least.hashes > 0 && seats.size < maxThreads) ? addSeat() : least;
  };
  const close = async (seat: Seat): Promise<void> => {
    seats.delete(seat);
    clearTimeout(seat.leaving);
    await seat.thread[Symbol.asyncDispose]();
  };

  return {
    start(fd, algorithm) {
      const seat = chooseSeat();
      clearTimeout(seat.leaving);
      seat.hashes++;
      const hash = startHash(seat.thread, ids++, fd, algorithm);
      let ended = false;
      return {
        ...hash,
        async end() {
          if (ended) return;
          ended = true;
          await hash.end();
          seat.hashes--;
          if (seat.hashes === 0) seat.leaving = setTimeout(() => void close(seat), idleMs).unref();
        },
      };
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...seats].map(close));
    },
  };
}
