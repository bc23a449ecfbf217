/** Repeats work until it is disposed. It does not keep the process alive. */
export function startInterval(everyMs: number, work: () => void): Disposable {
  const timer = setInterval(work, everyMs).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
