import { startHelper, type Thread } from '../util/thread.ts';
import type { LineAnswer, LineQuestion, LineSettings } from './line-message.ts';

/** A thread of lines. `receives`: of each blob how many bytes are to come. It may hash others. */
export type Seat = {
  readonly thread: Thread<LineQuestion, LineAnswer>;
  readonly receives: Set<() => number>;
};

/** The threads of lines, which come as they are needed. Disposing it ends them. */
export type Seats = AsyncDisposable & {
  /** One that receives nothing, else the one that has the least to receive; undefined where there is no room for one. */
  choose(): Seat | undefined;
  /** It stays until as many releases. */
  use(seat: Seat): void;
  release(seat: Seat): void;
};

/**
 * Where memory is slow to come, writing is most of a download, and with TLS, deciphering is. 8 x 128 MiB on two cores
 * that had to be given the memory: 4.1 s received by one thread and hashed by two, 3.0 s received and hashed by two.
 */
const maxThreads = 2;
/** A thread takes 25 ms to start, and who unpacks for minutes needs its memory. */
const idleMs = 250;

type Held = Seat & { uses: number; leaving?: NodeJS.Timeout };

export function openSeats(settings: LineSettings): Seats {
  const seats = new Map<Seat, Held>();

  const add = (): Seat | undefined => {
    const onEnd = (): void => void (seat && seats.delete(seat));
    const thread = startHelper<LineQuestion, LineAnswer>(import.meta.url, 'line-worker', undefined, onEnd);
    const seat = thread && { thread, receives: new Set<() => number>(), uses: 0 };
    if (seat === undefined) return undefined;
    seats.set(seat, seat);
    seat.thread.ask({ kind: 'open', ...settings }).catch(() => {}); // what comes next fails by it
    return seat;
  };
  const close = async (seat: Held): Promise<void> => {
    seats.delete(seat);
    clearTimeout(seat.leaving);
    await seat.thread[Symbol.asyncDispose]();
  };

  return {
    choose() {
      const [least] = [...seats.values()].toSorted(
        (a, b) => bytesToCome(a) - bytesToCome(b) || a.uses - b.uses,
      );
      const isFree = least !== undefined && (least.receives.size === 0 || seats.size >= maxThreads);
      return isFree ? least : (add() ?? least);
    },
    use(seat) {
      const held = seats.get(seat);
      if (held === undefined) return;
      clearTimeout(held.leaving);
      held.uses++;
    },
    release(seat) {
      const held = seats.get(seat);
      if (held === undefined) return;
      held.uses--;
      if (held.uses === 0) held.leaving = setTimeout(() => void close(held), idleMs).unref();
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...seats.values()].map(close));
    },
  };
}

/** Not how many blobs: those that share a thread end together, and the next ones would all be its. */
function bytesToCome({ receives }: Seat): number {
  return [...receives].reduce((sum, left) => sum + left(), 0);
}
