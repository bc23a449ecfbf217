import type { LandingFile } from '../../ports/landing.ts';
import type { OpenFile } from '../../ports/late-views.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { type ByteSpan, type HasBytes, isWithin, overlap } from './byte-span.ts';
import { shareFile } from './shared-file.ts';
import { createWaiters, type Patience } from './waiters.ts';

/** The reads of a layer that is not here yet: they wait until their bytes are, or fail, and no longer than the patience. */
export type LayerReads = Disposable &
  LandingFile & {
    /**
     * This file has the bytes of which `has` says so, by default all, and later perhaps more. It is opened for reads, and
     * closed when none uses it: a node may show many layers.
     */
    serve(open: () => OpenFile, has?: HasBytes): void;
    /** Fails the reads of these bytes, by default of all, that wait, and those of the next seconds. */
    fail(error: ArtifactError, bytes?: ByteSpan): void;
    /** Fails all reads, from now on. Whoever does it tells why. */
    refuse(error: ArtifactError): void;
    /** How many wait, and for what, in the order in which they began. */
    waiting(): number;
    wanted(): readonly ByteSpan[];
    /** Why reads failed, until something of the volume comes. */
    problem(): ArtifactError | undefined;
  };

/**
 * `failed`: called for a read that fails, unless the volume has ended, with whether all are refused. `stale`: called for a
 * read of bytes that are here: the kernel asked before it could know, or has an old map.
 */
export type ReadLimits = Patience & {
  readonly failed: (error: ArtifactError, isRefused: boolean) => void;
  readonly stale: () => void;
};

/** Returns how many reads of several layers wait. */
export function waitingOf(reads: readonly Pick<LayerReads, 'waiting'>[]): number {
  return reads.reduce((sum, each) => sum + each.waiting(), 0);
}

/** The kernel repeats a failed read at once, and must not wait again. */
const rememberMs = 5_000;
/** More pieces than are loaded at a time. Of others that failed before, a repeated read waits again. */
const mostRemembered = 64;

type Failure = { readonly error: ArtifactError; readonly at: number; readonly bytes: ByteSpan };

const all = (): boolean => true;
const ended = (): ArtifactError => new ArtifactError('cancelled', 'the volume ended');

type Here = { readonly open: () => OpenFile; readonly has: HasBytes };
const nothing: Here = {
  open() {
    throw ended();
  },
  has: () => false,
};

/** @param now milliseconds of a clock that nobody sets. */
export function createReads(
  size: number,
  { failed, stale, ...patience }: ReadLimits,
  now: () => number = () => performance.now(),
): LayerReads {
  const whole: ByteSpan = { offset: 0, length: size };
  let here = nothing;
  const use = shareFile(() => here.open());
  /** In the order in which they came. */
  let failures: readonly Failure[] = [];
  const isRecent = ({ at }: Failure): boolean => now() < at + rememberMs;
  let refusal: ArtifactError | undefined;
  let isOver = false;
  const remember = (error: ArtifactError, bytes = whole): void => {
    const others = failures.filter(one => isRecent(one) && !isWithin(one.bytes, bytes));
    failures = [...others, { error, at: now(), bytes }].slice(-mostRemembered);
  };
  const waiters = createWaiters(patience, remember);
  const refuse = (error: ArtifactError): void => {
    refusal = error;
    waiters.fail(error, whole);
  };
  return {
    size,
    async bring(offset, length) {
      const bytes = { offset, length };
      try {
        if (refusal !== undefined) throw refusal;
        if (here.has(offset, length)) {
          stale();
          return use();
        }
        const failure = failures.findLast(one => isRecent(one) && overlap(one.bytes, bytes));
        if (failure !== undefined) throw failure.error;
        await waiters.wait(bytes);
        return use();
      } catch (thrown) {
        if (!isOver) failed(toArtifactError(thrown), refusal !== undefined);
        throw thrown;
      }
    },
    serve(open, has = all) {
      here = { open, has };
      waiters.serve(has);
    },
    fail(error, bytes = whole) {
      remember(error, bytes);
      waiters.fail(error, bytes);
    },
    refuse,
    waiting: waiters.count,
    wanted: waiters.wanted,
    problem() {
      const failure = failures.at(-1);
      const isPast = here.has === all || (failure?.at ?? 0) <= patience.heardAt();
      return refusal ?? (isPast ? undefined : failure?.error);
    },
    [Symbol.dispose]() {
      isOver = true;
      refuse(ended());
      here = nothing;
    },
  };
}
