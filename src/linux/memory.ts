import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { libc } from './libc.ts';

/** Milliseconds between two checks of memory. */
const paceMs = 1000;
/** The maximum share of one CPU in a quiet second. */
const quietShare = 0.2;
/** The growth in bytes that is worth a collection. */
const worthwhile = 8 * 1024 * 1024;

/** The result: the resident memory before and after, and the longest turn that it took. */
export type Returned = {
  readonly beforeBytes: number;
  readonly afterBytes: number;
  readonly longestMs: number;
};

/**
 * Returns memory to the system after work, until it is disposed: V8 collects only while something allocates, and malloc
 * keeps freed memory, so an idle process would keep the memory of its busiest moment. It collects in a second in which
 * the process, with all its threads, did little, once after seconds of work or growth. Each step takes its own turn of
 * the event loop.
 */
export function returnMemory(onReturned: (returned: Returned) => void): Disposable {
  const collect = loadCollector();
  const trim = loadTrim();
  let lowest = 0;
  let worked = false;
  let last = process.cpuUsage();
  let since = performance.now();
  const giveBack = async (before: number): Promise<void> => {
    let milliseconds = 0;
    for (const step of [collect, trim]) {
      const started = performance.now();
      step();
      milliseconds = Math.max(milliseconds, performance.now() - started);
      await setImmediate();
    }
    lowest = process.memoryUsage.rss();
    onReturned({ beforeBytes: before, afterBytes: lowest, longestMs: Math.round(milliseconds * 10) / 10 });
  };
  const look = (): void => {
    const { user, system } = process.cpuUsage(last);
    const elapsedMs = performance.now() - since;
    last = process.cpuUsage();
    since += elapsedMs;
    const before = process.memoryUsage.rss();
    lowest = Math.min(lowest, before);
    const busy = user + system > quietShare * elapsedMs * 1000;
    worked ||= busy;
    if (busy || (!worked && before - lowest < worthwhile)) return;
    worked = false;
    void giveBack(before);
  };
  return setInterval(look, paceMs).unref();
}

/**
 * V8's collector, which only a context that is created while the flag is set has. Only this flavor releases the pages
 * that it empties.
 */
function loadCollector(): () => void {
  setFlagsFromString('--expose-gc');
  const gc: (options: object) => void = runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  return () => gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}

/** malloc_trim(3) of glibc. musl, which lacks it, keeps little. */
function loadTrim(): () => void {
  try {
    const mallocTrim = libc.func('int malloc_trim(size_t)');
    return () => void mallocTrim(0);
  } catch {
    return () => {};
  }
}
