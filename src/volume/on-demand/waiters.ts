import { ArtifactError } from '../../util/error.ts';
import { type ByteSpan, type HasBytes, overlap } from './byte-span.ts';
import type { Crowd } from './crowd.ts';

/** Reads that wait for one layer, each as long as anything of the volume comes within the patience. */
export type Waiters = {
  /** Resolves when a file has the bytes. @throws why they do not come; `exhausted` if too many wait. */
  wait(bytes: ByteSpan): Promise<void>;
  /** Ends the wait for bytes that the file has. */
  serve(has: HasBytes): void;
  /** Fails the reads of any of these bytes. */
  fail(error: ArtifactError, bytes: ByteSpan): void;
  count(): number;
  /** What they wait for, in the order in which they began. */
  wanted(): readonly ByteSpan[];
};

/**
 * `patienceMs`: the longest wait while nothing comes. `longestMs`: the longest wait whatever comes. `heardAt`: when bytes
 * of the volume came last, as `performance.now()`.
 */
export type Patience = {
  readonly patienceMs: number;
  readonly longestMs?: number;
  readonly heardAt: () => number;
  /** The reads of all layers of the volume. */
  readonly crowd: Crowd;
  /** Called for each read that begins to wait. */
  readonly asked: (offset: number, length: number) => void;
};

/**
 * The kernel ends the landings of all volumes for one read that takes 18 hours, and a server can send a byte now and then
 * for ever. A read may have begun to wait in an earlier process.
 */
const usualLongestMs = 8 * 3_600_000;

type Waiter = PromiseWithResolvers<void> & ByteSpan & { readonly since: number };

/** `expired`: called for a read whose patience ends. */
export function createWaiters(
  { patienceMs, longestMs = usualLongestMs, heardAt, crowd, asked }: Patience,
  expired: (error: ArtifactError) => void,
): Waiters {
  /** In the order in which they began. */
  const waiters = new Set<Waiter>();
  let timer: NodeJS.Timeout | undefined;
  const expire = (): void => {
    timer = undefined;
    for (const waiter of waiters) {
      const [now, end] = [performance.now(), waiter.since + longestMs];
      const left = Math.min(Math.max(waiter.since, heardAt()) + patienceMs, end) - now;
      if (left > 0) return void (timer = setTimeout(expire, left));
      const why =
        now < end
          ? `nothing came within ${patienceMs / 1000} s`
          : `it has not come for ${longestMs / 1000} s`;
      const error = new ArtifactError('unavailable', why);
      expired(error);
      waiters.delete(waiter);
      waiter.reject(error);
    }
  };
  return {
    async wait(bytes) {
      const waiter = { ...Promise.withResolvers<void>(), ...bytes, since: performance.now() };
      using _place = crowd.enter(waiter.reject);
      waiters.add(waiter);
      timer ??= setTimeout(expire, Math.min(patienceMs, longestMs));
      asked(bytes.offset, bytes.length);
      try {
        await waiter.promise;
      } finally {
        waiters.delete(waiter);
        if (waiters.size === 0) clearTimeout(timer);
        if (waiters.size === 0) timer = undefined;
      }
    },
    serve(has) {
      for (const { offset, length, resolve } of waiters) if (has(offset, length)) resolve();
    },
    fail(error, bytes) {
      for (const waiter of waiters) if (overlap(waiter, bytes)) waiter.reject(error);
    },
    count: () => waiters.size,
    wanted: () => [...waiters],
  };
}
