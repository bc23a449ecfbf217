import { formatRetry, type Retry } from '../../util/retry.ts';
import { resolving } from './progress.ts';
import type { Progress } from '../../ports/usecases.ts';

/** Two who speak of one pull: how far it is, and that a registry is asked again. */
export type RetryReport = {
  readonly report: (progress: Progress) => void;
  readonly tell: (retry: Retry) => void;
};

/** Reports what a pull waits for, for as long as the wait lasts, however often its progress is reported meanwhile. */
export function withRetries(
  onProgress: (progress: Progress) => void,
  now: () => number = Date.now,
): RetryReport {
  let latest = resolving;
  let wait = { until: 0, text: '' };
  const report = (progress: Progress): void => {
    latest = progress;
    onProgress(
      now() < wait.until && progress.waits === undefined ? { ...progress, waits: wait.text } : progress,
    );
  };
  return {
    report,
    tell(retry) {
      wait = { until: now() + retry.waitMs, text: formatRetry(retry) };
      report(latest);
    },
  };
}
