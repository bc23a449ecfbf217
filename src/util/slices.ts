import { setImmediate } from 'node:timers/promises';

/** Milliseconds of synchronous work after which the event loop gets its turn. */
const slice = 5;

/**
 * Does long work that yields after each small step, so that it does not block the event loop.
 * @throws the signal's reason.
 */
export async function doInSlices<T>(work: Generator<void, T>, signal: AbortSignal): Promise<T> {
  let since = performance.now();
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
    if (performance.now() - since < slice) continue;
    await setImmediate();
    signal.throwIfAborted();
    since = performance.now();
  }
}
