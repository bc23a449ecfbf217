import type { LandingFile } from '../../ports/landing.ts';
import type { OpenFile } from '../../ports/late-views.ts';
import { ArtifactError } from '../../util/error.ts';
import { createWaiters, type Patience } from './waiters.ts';

/** The reads of a layer that is not here yet: they wait until it is, until it fails, and no longer than the patience. */
export type LayerReads = Disposable &
  LandingFile & {
    /** All bytes are in this file. It is opened for a read that asked before, and closed with the reads. */
    serve(open: () => OpenFile): void;
    /** Fails the reads that wait, and those of the next seconds. */
    fail(error: ArtifactError): void;
    /** How many wait. */
    waiting(): number;
    /** Why reads failed, until something of the volume comes. */
    problem(): ArtifactError | undefined;
  };

/** `failed`: called for a read that fails. */
export type ReadLimits = Patience & { readonly failed: () => void };

/** The kernel repeats a failed read at once, and must not wait again. */
const rememberMs = 5_000;

export function createReads(size: number, { failed, ...patience }: ReadLimits): LayerReads {
  let whole: (() => OpenFile) | undefined;
  let file: OpenFile | undefined;
  let failure: { readonly error: ArtifactError; readonly at: number; readonly until: number } | undefined;
  const remember = (error: ArtifactError, forMs = rememberMs): void => {
    failure = { error, at: performance.now(), until: Date.now() + forMs };
  };
  const waiters = createWaiters(patience, remember);
  return {
    size,
    async bring() {
      try {
        if (whole !== undefined) return (file ??= whole()).fd;
        if (failure !== undefined && Date.now() < failure.until) throw failure.error;
        return await waiters.wait();
      } catch (thrown) {
        failed();
        throw thrown;
      }
    },
    serve(open) {
      whole ??= open;
      if (waiters.count() === 0) return;
      file ??= whole();
      waiters.serve(file.fd);
    },
    fail(error) {
      remember(error);
      waiters.fail(error);
    },
    waiting: waiters.count,
    problem: () => (whole || (failure?.at ?? 0) <= patience.heardAt() ? undefined : failure?.error),
    [Symbol.dispose]() {
      const ended = new ArtifactError('cancelled', 'the volume ended');
      remember(ended, Infinity);
      waiters.fail(ended);
      whole = undefined;
      file?.[Symbol.dispose]();
      file = undefined;
    },
  };
}
