import type { LandingFile } from '../../ports/landing.ts';
import type { OpenFile } from '../../ports/late-views.ts';
import { ArtifactError } from '../../util/error.ts';

/** The reads of a layer that is not here yet: they wait until it is, until it fails, and no longer than the patience. */
export type LayerReads = Disposable &
  LandingFile & {
    /** All bytes are in this file. It is opened for a read that asked before, and closed with the reads. */
    serve(open: () => OpenFile): void;
    /** Fails the reads that wait, and those of the next seconds. */
    fail(error: ArtifactError): void;
    /** How many wait. */
    waiting(): number;
  };

/** `patienceMs`: the longest wait of a read. `asked`: called for each read that begins to wait; `failed`: for one that fails. */
export type ReadLimits = {
  readonly patienceMs: number;
  readonly asked: () => void;
  readonly failed: () => void;
};

/** The kernel repeats a failed read at once, and must not wait again. */
const rememberMs = 5_000;

export function createReads(size: number, { patienceMs, asked, failed }: ReadLimits): LayerReads {
  const waiters = new Set<PromiseWithResolvers<number>>();
  let whole: (() => OpenFile) | undefined;
  let file: OpenFile | undefined;
  let failure: { readonly error: ArtifactError; readonly until: number } | undefined;
  const fail = (error: ArtifactError, forMs: number): void => {
    failure = { error, until: Date.now() + forMs };
    for (const { reject } of waiters) reject(error);
  };
  return {
    size,
    async bring() {
      try {
        if (whole !== undefined) return (file ??= whole()).fd;
        if (failure !== undefined && Date.now() < failure.until) throw failure.error;
        const waiter = Promise.withResolvers<number>();
        waiters.add(waiter);
        const late = new ArtifactError('unavailable', `it did not come within ${patienceMs / 1000} s`);
        using _patience = setTimeout(() => fail(late, rememberMs), patienceMs);
        asked();
        return await waiter.promise.finally(() => waiters.delete(waiter));
      } catch (thrown) {
        failed();
        throw thrown;
      }
    },
    serve(open) {
      whole ??= open;
      if (waiters.size === 0) return;
      file ??= whole();
      for (const { resolve } of waiters) resolve(file.fd);
    },
    fail: error => fail(error, rememberMs),
    waiting: () => waiters.size,
    [Symbol.dispose]() {
      fail(new ArtifactError('cancelled', 'the volume ended'), Infinity);
      whole = undefined;
      file?.[Symbol.dispose]();
      file = undefined;
    },
  };
}
