import { parseDuration } from '../util/duration.ts';
import { ArtifactError, toArtifactError } from '../util/error.ts';
import { named } from './command-line.ts';
import type { Options } from './shell.ts';

/** How long interrupted work has to report its result, ms. */
const lastWordMs = 1_000;
/** A longer timer of Node ends at once. */
const longestTimerMs = 2 ** 31 - 1;

/**
 * The signal of `--timeout`, whose reason is the error of a command that takes longer; undefined without the flag, and
 * for 0.
 *
 * @throws ArtifactError `invalid`.
 */
export function toDeadline({ timeout }: Options): AbortSignal | undefined {
  if (typeof timeout !== 'string') return undefined;
  const withinMs = named('--timeout', () => parseDuration(timeout));
  if (withinMs === 0) return undefined;
  const controller = new AbortController();
  const late = new ArtifactError('unavailable', `not done within --timeout ${timeout}`);
  setTimeout(() => controller.abort(late), Math.min(withinMs, longestTimerMs)).unref();
  return controller.signal;
}

/**
 * The result of a command. @throws the reason of the deadline if it comes first, even if the work cannot be
 * interrupted.
 */
export async function endsBy<T>(late: AbortSignal | undefined, work: Promise<T>): Promise<T> {
  if (late === undefined) return work;
  const { promise, reject } = Promise.withResolvers<never>();
  let timer: NodeJS.Timeout | undefined;
  const giveUp = (): void => {
    timer = setTimeout(() => reject(late.reason as Error), lastWordMs);
  };
  late.addEventListener('abort', giveUp, { once: true });
  try {
    return await Promise.race([work, promise]);
  } catch (thrown) {
    throw late.aborted && toArtifactError(thrown).code === 'cancelled' ? late.reason : thrown;
  } finally {
    late.removeEventListener('abort', giveUp);
    clearTimeout(timer);
  }
}
