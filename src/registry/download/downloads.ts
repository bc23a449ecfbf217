import { type GrowingFile, sizeOf } from '../../util/growing-file.ts';
import { openLru } from '../../util/memo.ts';
import { startHelper } from '../../util/thread.ts';
import type { Accept, Head, HttpRequest, LeastRate, Send } from '../http/request.ts';
import { TransientError } from '../http/retry.ts';
import type { Tls } from '../http/tls.ts';
import type { PlainRequest } from './connection.ts';
import { openConnectionPool } from './connection-pool.ts';
import { openSeries, type Sample, type Series } from './series.ts';
import type { WorkerAnswer, WorkerQuestion, WorkerSettings } from './worker-protocol.ts';
import {
  openWorkerTransport,
  type WorkerLease,
  type WorkerPool,
  type WorkerTransport,
} from './worker-transport.ts';

/** Receives blobs into files, and documents. Disposing it ends all downloads. */
export type Downloads = AsyncDisposable & {
  /** Sends what is no download of a blob: the request for a document, or any other. */
  readonly send: Send;
  /**
   * Opens the download of a blob of `size` bytes, or of a part. Its requests may ask for the whole or for a range; what
   * their receivers name as `file` is written there. Disposing it releases what it uses.
   */
  open(file: GrowingFile | undefined, size: number): Download;
  /** Opens a connection for small blobs that are asked for as this one was. */
  series(sample: Sample): Series;
};

export type Download = AsyncDisposable & {
  readonly send: Send;
  /** Hashes all content of the file; undefined if no worker can. @throws `cancelled`. */
  hash(signal: AbortSignal): Promise<string | undefined>;
};

export type DownloadSettings = {
  readonly tls: Tls;
  /** Milliseconds that a server may send nothing. */
  readonly stallMs: number;
  readonly leastRate: LeastRate;
  /** Receives what is not plain, such as a response without a length. */
  readonly otherwise: Send;
};

/** Below this size, a blob arrives before a worker has started. */
const fewBytes = 1024 * 1024;
/** The read buffer of small blobs. */
const smallBytes = 64 * 1024;
/** How long a server without plain responses is asked only by `otherwise`. */
const oddMs = 60_000;

/** Sends on connections of this directory: this thread's, or a worker's. */
type PlainTransport = {
  /** Returns undefined if the response is not plain, and then nothing of it was accepted. */
  send(request: HttpRequest & PlainRequest, accept: Accept, signal: AbortSignal): Promise<Head | undefined>;
};

/**
 * The only door to this directory. Behind it, two worker threads receive, write and hash blobs on connections of their
 * own; this thread receives documents and small blobs, and all blobs if no worker can be started. A server whose
 * response is not plain is asked again by `otherwise`, which could receive everything. All of this is here for speed
 * alone. A daemon whose registries answer plainly never loads undici, which takes 75 ms of CPU time and 14 MB.
 *
 *     npm run bench -- --downloads --row 1x1GiB --row 8x128MiB --row 1x1GiB-tls
 *
 * compares cold publishes with those of a build without it, which is test/bench/plain-downloads.ts in place of this
 * file. On 2026-11-29, on two cores that other work shared (load 20 to 35), medians of three:
 *
 *     1 GiB          CPU 1.8 s, without 3.6 s   wall  4.0 s, without  8.0 s
 *     8 x 128 MiB    CPU 1.9 s, without 3.8 s   wall  3.8 s, without 11.5 s
 *     1 GiB by TLS   CPU 3.0 s, without 3.5 s   wall 10.0 s, without 11.5 s
 */
export function openDownloads(
  { tls, stallMs, leastRate, otherwise }: DownloadSettings,
  workers: WorkerPool = openWorkerPool({ stallMs, leastRate }),
): Downloads {
  const here = openConnectionPool(tls, stallMs, leastRate);
  const small = Buffer.allocUnsafeSlow(smallBytes);
  const odd = openLru<{ until: number }>();

  async function send(
    what: 'blob' | 'document',
    choose: (signal: AbortSignal) => PlainTransport | Promise<PlainTransport>,
    [request, accept, signal]: Parameters<Send>,
  ): Promise<Head> {
    const { method, url, trust } = request;
    const oddity = odd.take([what, url.origin, trust.insecure, trust.id].join(' '), () => ({ until: 0 }));
    if (method !== 'POST' && performance.now() >= oddity.until) {
      const transport = await choose(signal);
      const head = await transport.send({ ...request, method }, accept, signal);
      if (head !== undefined) return head;
      oddity.until = performance.now() + oddMs;
    }
    return await otherwise(request, accept, signal);
  }

  return {
    send: (...sent) => (hasPassword(sent[0]) ? otherwise(...sent) : send('document', () => here, sent)),
    series: sample => openSeries(sample, { tls, stallMs, leastRate, buffer: small }),
    open(file, size) {
      let worker: WorkerTransport | undefined;
      const leave = async (): Promise<void> => {
        const left = worker;
        worker = undefined;
        await left?.[Symbol.asyncDispose]();
      };
      /** Existing content is hashed first. */
      const take = async (into: GrowingFile, signal: AbortSignal): Promise<WorkerTransport | undefined> => {
        if (worker?.isAlive() === false) await leave();
        if (worker !== undefined) return worker;
        worker = openWorkerTransport(workers, into, size);
        if (into.hashed !== undefined && sizeOf(into.state) > 0) await worker?.hash(signal);
        return worker;
      };
      const choose = async (signal: AbortSignal): Promise<PlainTransport> => {
        const isLarge = file !== undefined && size >= fewBytes;
        return (isLarge ? await take(file, signal) : undefined) ?? here;
      };
      return {
        send: (...sent) => send('blob', choose, sent),
        hash: async signal =>
          file === undefined ? undefined : await (await take(file, signal))?.hash(signal),
        [Symbol.asyncDispose]: leave,
      };
    },
    async [Symbol.asyncDispose]() {
      await workers[Symbol.asyncDispose]();
      here[Symbol.dispose]();
    },
  };
}

/** Some servers count wrong passwords and lock the account, so none is sent again because of the form of its answer. */
function hasPassword({ headers }: HttpRequest): boolean {
  return /^basic/i.test(headers['authorization'] ?? '');
}

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
