import { formatRetry, type Retry } from '../../util/retry.ts';
import { resolving } from './progress.ts';
import type { Progress } from '../../ports/usecases.ts';

/** Combines the two reporters of a pull: its progress, and the retries of the registry client. */
export type RetryReport = {
  readonly report: (progress: Progress) => void;
  readonly tell: (retry: Retry) => void;
};

/** Adds to each progress report what the pull waits for, while it waits. */
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
