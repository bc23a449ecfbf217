/** Does work again and again, until it is disposed. It keeps no process alive. */
export function startInterval(everyMs: number, work: () => void): Disposable {
  const timer = setInterval(work, everyMs).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
