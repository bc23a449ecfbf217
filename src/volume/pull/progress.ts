import type { Progress } from '../../ports/usecases.ts';
import { formatTime, type Pause } from '../../util/pause.ts';
import { formatRetry, type Retry } from '../../util/retry.ts';
import { formatSize } from '../../util/size.ts';

/**
 * The progress of a pull in words: "pulled 3.1 GiB of 7.2 GiB, 2 of 5 layers". Without percent signs: kubelet formats
 * pod events by printf, and would show "43 %!)(MISSING)".
 */
export function describeProgress(progress: Progress | undefined): string {
  if (progress === undefined) return unanswered;
  const { totalBytes, waits } = progress;
  if (waits !== undefined) return totalBytes === 0 ? waits : `${waits}; ${pulledOf(progress)}`;
  if (progress.phase === 'resolve') return unanswered;
  if (progress.phase === 'view') return `all ${formatSize(totalBytes)} are here, and the tree is being built`;
  return progress.phase === 'unpack' ? `${pulledOf(progress)}, unpacking` : pulledOf(progress);
}

const unanswered = 'the registry has not answered yet';

/** The report of a waiting pull. `soFar` is the last report. */
export function whilePaused(pause: Pause | undefined, soFar: Progress = resolving): Progress {
  if (pause === undefined) return soFar;
  return { ...soFar, waits: `${pause.host} asks to wait until ${formatTime(pause.until)}` };
}

/** Before the totals are known. */
export const resolving: Progress = {
  phase: 'resolve',
  bytes: 0,
  totalBytes: 0,
  layers: 0,
  totalLayers: 0,
  bytesPerSecond: 0,
};

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

function pulledOf({ bytes, totalBytes, layers, totalLayers }: Progress): string {
  return `pulled ${formatSize(bytes)} of ${formatSize(totalBytes)}, ${layers} of ${totalLayers} layers`;
}
