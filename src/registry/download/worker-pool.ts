import { startHelper, type Thread } from '../../util/thread.ts';
import { TransientError } from '../http/retry.ts';
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
  has(lease: WorkerLease): boolean;
  /** Keeps it alive until as many releases. */
  use(lease: WorkerLease): void;
  release(lease: WorkerLease): void;
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
  const leases = new Set<WorkerLease>();

  /** The time at which the next worker may be started. */
  let notBefore = 0;

  const add = (): WorkerLease | undefined => {
    if (performance.now() < notBefore) return undefined;
    let isReady = false;
    const onEnd = (): void => {
      const endedItself = lease !== undefined && leases.delete(lease);
      if (endedItself && !isReady) notBefore = performance.now() + restMs;
    };
    const thread = startHelper<WorkerQuestion, WorkerAnswer>(import.meta.url, 'download-worker', {
      onEnd,
      toFailure: toTransientError,
    });
    const lease: WorkerLease | undefined = thread && { thread, receives: new Set(), uses: 0 };
    if (lease === undefined) return undefined;
    leases.add(lease);
    const ready = (): void => {
      isReady = true;
    };
    lease.thread.ask({ kind: 'open', ...settings }).then(ready, () => {}); // the next question reports the error
    return lease;
  };
  const close = async (lease: WorkerLease): Promise<void> => {
    leases.delete(lease);
    clearTimeout(lease.leaving);
    await lease.thread[Symbol.asyncDispose]();
  };

  return {
    choose() {
      const [least] = [...leases].toSorted((a, b) => bytesToCome(a) - bytesToCome(b) || a.uses - b.uses);
      const isFree = least !== undefined && (least.receives.size === 0 || leases.size >= maxThreads);
      return isFree ? least : (add() ?? least);
    },
    has: lease => leases.has(lease),
    use(lease) {
      clearTimeout(lease.leaving);
      lease.uses++;
    },
    release(lease) {
      lease.uses--;
      if (lease.uses === 0) lease.leaving = setTimeout(() => void close(lease), idleMs).unref();
    },
    async [Symbol.asyncDispose]() {
      notBefore = Infinity;
      await Promise.all([...leases].map(close));
    },
  };
}

function toTransientError(reason: unknown): TransientError {
  const why = reason instanceof Error ? reason.message : String(reason);
  return new TransientError('unavailable', `the thread that received it has ended (${why})`, reason);
}

/** The number of blobs does not count: those that share a worker end together, and it would get all the next ones. */
function bytesToCome({ receives }: WorkerLease): number {
  return [...receives].reduce((sum, left) => sum + Math.min(left(), manyBytes), 0);
}
