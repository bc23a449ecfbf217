/**
 * Lets all who wait at the same time share one run. A call made while one is under way gets the next, because that one
 * may have begun too early for it. This is how a thousand commits pay for a few syncs of their folder.
 */
export function shareRuns(run: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;

  const start = async (): Promise<void> => {
    try {
      await run();
    } finally {
      running = undefined;
    }
  };
  const follow = async (before: Promise<void>): Promise<void> => {
    await Promise.allSettled([before]);
    next = undefined;
    await join();
  };
  const join = (): Promise<void> => {
    if (running === undefined) return (running = start());
    return (next ??= follow(running));
  };
  return join;
}
