import { startHelper, type Thread } from '../../util/thread.ts';
import type { WorkerAnswer, WorkerQuestion, WorkerSettings } from './worker-protocol.ts';

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
  has(seat: WorkerLease): boolean;
  /** Keeps it alive until as many releases. */
  use(seat: WorkerLease): void;
  release(seat: WorkerLease): void;
};

/**
 * If the kernel is slow to provide memory, writing takes most of a download; with TLS, decryption does. 8 x 128 MiB on
 * two cores with slow memory: 4.1 s received by one thread and hashed by two, 3.0 s received and hashed by two.
 */
const maxThreads = 2;
/** A worker takes 25 ms to start, and its memory is needed elsewhere during a long unpack. */
const idleMs = 250;
/** How long no worker is started after one ended before it was ready, for example without free file descriptors. */
const restMs = 10_000;
/** The bytes that one blob counts at most: a huge, slow blob leaves room for others. */
const manyBytes = 256 * 1024 * 1024;

export function openWorkerPool(settings: WorkerSettings): WorkerPool {
  const seats = new Set<WorkerLease>();

  /** The time at which the next worker may be started. */
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
    seat.thread.ask({ kind: 'open', ...settings }).then(ready, () => {}); // the next question reports the error
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

/** The number of blobs does not count: those that share a worker end together, and it would get all the next ones. */
function bytesToCome({ receives }: WorkerLease): number {
  return [...receives].reduce((sum, left) => sum + Math.min(left(), manyBytes), 0);
}
