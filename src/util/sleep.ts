import timers from 'node:timers/promises';

/** Waits, at most until the signal aborts. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await timers.setTimeout(ms, undefined, { signal }).catch(() => {});
}
