import { ArtifactError, toArtifactError } from '../util/error.ts';
import { named } from './command-line.ts';
import type { Options } from './shell.ts';
import { parseDuration } from './values.ts';

/** Work that can be interrupted has so long to say what became of it, ms. */
const lastWordMs = 1_000;

/** The signal of `--timeout`, whose reason is the error of a command that takes longer; undefined without one. @throws ArtifactError `invalid`. */
export function toDeadline({ timeout }: Options): AbortSignal | undefined {
  if (typeof timeout !== 'string') return undefined;
  const controller = new AbortController();
  const late = new ArtifactError('unavailable', `not done within --timeout ${timeout}`);
  setTimeout(
    () => controller.abort(late),
    named('--timeout', () => parseDuration(timeout)),
  ).unref();
  return controller.signal;
}

/** What a command answers, unless its deadline comes before: then its reason, also of one that cannot be interrupted. */
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
