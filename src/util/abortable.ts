/** For work that nothing aborts. A listener of it stays: whoever adds one must remove it. */
export const never: AbortSignal = new AbortController().signal;

/**
 * Returns the promise's result, or throws the signal's reason if that comes first. The work behind the promise
 * continues.
 */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/**
 * Works on all items, `most` at a time.
 *
 * @throws the first failure, after the works under way have been aborted and have ended.
 */
export async function doAll<T>(
  items: readonly T[],
  most: number,
  work: (item: T, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const failing = new AbortController();
  const either = AbortSignal.any([signal, failing.signal]);
  const waiting = items.values();
  let first: { readonly thrown: unknown } | undefined;
  const goOn = async (): Promise<void> => {
    try {
      for (const item of waiting) await work(item, either);
    } catch (thrown) {
      first ??= { thrown };
      failing.abort(thrown);
    }
  };
  await Promise.all(Array.from({ length: most }, goOn));
  if (first !== undefined) throw first.thrown;
}
