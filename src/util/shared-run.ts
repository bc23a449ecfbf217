/**
 * Lets all callers that wait at the same time share one run. A call during a run gets the next run, because the present
 * one may have started too early for it. A thousand commits need only a few syncs of their directory this way.
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
