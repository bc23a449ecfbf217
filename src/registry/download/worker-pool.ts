import { startHelper, type Thread } from '../../util/thread.ts';
import type { WorkerAnswer, WorkerQuestion, WorkerSettings } from './worker-protocol.ts';

/** A thread of lines. */
export type WorkerLease = {
  readonly thread: Thread<WorkerQuestion, WorkerAnswer>;
  /** Of each blob that it receives, how many bytes are to come. It may hash others. */
  readonly receives: Set<() => number>;
  /** How many lines need it. */
  uses: number;
  leaving?: NodeJS.Timeout;
};

/** The threads of lines, which come as they are needed. Disposing it ends them, and no other comes. */
export type WorkerPool = AsyncDisposable & {
  /** One that receives nothing, else the one that has the least to receive; undefined where there is no room for one. */
  choose(): WorkerLease | undefined;
  /** Whether it is alive. */
  has(seat: WorkerLease): boolean;
  /** It stays until as many releases. */
  use(seat: WorkerLease): void;
  release(seat: WorkerLease): void;
};

/**
 * Where memory is slow to come, writing is most of a download, and with TLS, deciphering is. 8 x 128 MiB on two cores
 * that had to be given the memory: 4.1 s received by one thread and hashed by two, 3.0 s received and hashed by two.
 */
const maxThreads = 2;
/** A thread takes 25 ms to start, and who unpacks for minutes needs its memory. */
const idleMs = 250;
/** For so long no other is started where one ended before it was ready, for want of descriptors for one. */
const restMs = 10_000;
/** What one blob counts at most: a giant that comes slowly leaves room for others. */
const manyBytes = 256 * 1024 * 1024;

export function openWorkerPool(settings: WorkerSettings): WorkerPool {
  const seats = new Set<WorkerLease>();

  /** When the next thread may be started. */
  let notBefore = 0;

  const add = (): WorkerLease | undefined => {
    if (performance.now() < notBefore) return undefined;
    let isReady = false;
    const onEnd = (): void => {
      const endedItself = seat !== undefined && seats.delete(seat);
      if (endedItself && !isReady) notBefore = performance.now() + restMs;
    };
    const thread = startHelper<WorkerQuestion, WorkerAnswer>(import.meta.url, 'download-worker', { onEnd });
    const seat: WorkerLease | undefined = thread && { thread, receives: new Set(), uses: 0 };
    if (seat === undefined) return undefined;
    seats.add(seat);
    const ready = (): void => {
      isReady = true;
    };
    seat.thread.ask({ kind: 'open', ...settings }).then(ready, () => {}); // what comes next fails by it
    return seat;
  };
  const close = async (seat: WorkerLease): Promise<void> => {
    seats.delete(seat);
    clearTimeout(seat.leaving);
    await seat.thread[Symbol.asyncDispose]();
  };

  return {
    choose() {
      const [least] = [...seats].toSorted((a, b) => bytesToCome(a) - bytesToCome(b) || a.uses - b.uses);
      const isFree = least !== undefined && (least.receives.size === 0 || seats.size >= maxThreads);
      return isFree ? least : (add() ?? least);
    },
    has: seat => seats.has(seat),
    use(seat) {
      clearTimeout(seat.leaving);
      seat.uses++;
    },
    release(seat) {
      seat.uses--;
      if (seat.uses === 0) seat.leaving = setTimeout(() => void close(seat), idleMs).unref();
    },
    async [Symbol.asyncDispose]() {
      notBefore = Infinity;
      await Promise.all([...seats].map(close));
    },
  };
}

/** Not how many blobs: those that share a thread end together, and the next ones would all be its. */
function bytesToCome({ receives }: WorkerLease): number {
  return [...receives].reduce((sum, left) => sum + Math.min(left(), manyBytes), 0);
}
