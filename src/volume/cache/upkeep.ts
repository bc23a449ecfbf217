import { toArtifactError } from '../../util/error.ts';

/** What a node does between its calls, until the signal aborts. */
export type Upkeep = {
  /** Starts the work that lasts as long as the node. */
  start(): void;
  /** Waits until that has ended. */
  ended(): Promise<void>;
};

/** How often disk usage is checked between pulls. */
const tidyEveryMs = 60_000;

/**
 * @param tidying steps by what they do, for the log. They are repeated, one after the other; one that fails does not
 *   hold up the others.
 * @param work never rejects, and ends with its signal.
 */
export function createUpkeep(
  tidying: Readonly<Record<string, (signal: AbortSignal) => unknown>>,
  work: readonly ((signal: AbortSignal) => Promise<void>)[],
  warn: (text: string) => void,
  signal: AbortSignal,
): Upkeep {
  const tidy = async (): Promise<void> => {
    for (const [doing, step] of Object.entries(tidying)) {
      try {
        await step(signal);
      } catch (thrown) {
        warn(`${doing} failed: ${toArtifactError(thrown).message}`);
      }
    }
  };
  const interval = setInterval(() => void tidy(), tidyEveryMs).unref();
  signal.addEventListener('abort', () => clearInterval(interval));
  let working: Promise<unknown> | undefined;
  return {
    start() {
      working ??= Promise.all(work.map(run => run(signal)));
    },
    async ended() {
      await working;
    },
  };
}
