import { toArtifactError } from '../../util/error.ts';
import { sleep } from '../../util/sleep.ts';

/** Work that is repeated, and what it failed by last. */
export type WorkLoop = {
  /** Repeats the work until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
  problem(): string | undefined;
};

/** The first wait after a failure, which doubles with each, and the longest, ms. */
const [firstRetryMs, longestRetryMs] = [5_000, 2 * 60_000];

/**
 * @param work answers how long to wait before it is repeated, in ms. If it lasts, it calls `succeed` as soon as it does
 * what it is for. @param note is told of each new problem.
 */
export function createWorkLoop(
  work: (signal: AbortSignal, succeed: () => void) => Promise<number>,
  note: (problem: string) => void,
): WorkLoop {
  let problem: string | undefined;
  let failures = 0;

  const succeed = (): void => {
    problem = undefined;
    failures = 0;
  };
  const attempt = async (signal: AbortSignal): Promise<number> => {
    try {
      const waitMs = await work(signal, succeed);
      succeed();
      return waitMs;
    } catch (thrown) {
      if (signal.aborted) return 0;
      const { message } = toArtifactError(thrown);
      if (message !== problem) note(message);
      problem = message;
      return Math.min(longestRetryMs, firstRetryMs * 2 ** failures++) * (0.5 + 0.5 * Math.random());
    }
  };

  return {
    async run(signal) {
      while (!signal.aborted) await sleep(await attempt(signal), signal);
    },
    problem: () => problem,
  };
}
