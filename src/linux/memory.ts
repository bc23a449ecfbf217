import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { unmapCodePages } from './code-pages.ts';
import { libc } from './libc.ts';

/** Milliseconds between two checks of memory. */
const paceMs = 1000;
/** The maximum share of one CPU in a quiet second, and in a silent one. More CPU time between two checks is work. */
const quietShare = 0.2;
const silentShare = 0.02;
/** The growth in bytes that is worth a collection, and the milliseconds of CPU time since the last one. */
const worthwhile = 8 * 1024 * 1024;
const worthMs = 100;

/** The result: the resident memory before and after, and the longest turn that it took. */
export type Returned = {
  readonly beforeBytes: number;
  readonly afterBytes: number;
  readonly longestMs: number;
};

/**
 * Returns memory to the system after work, until it is disposed: V8 collects only while something allocates, and malloc
 * keeps freed memory, so an idle process would keep the memory of its busiest moment. It collects if memory has grown, in
 * a second in which the process, with all its threads, did little, once after a busy second. After less work, such as a
 * call now and then, it waits for a second in which almost nothing happens, so that calls seldom meet a process that has
 * just been emptied. A second may be quiet because the machine is busy: what follows then needs no growth. Each step
 * takes its own turn of the event loop.
 */
export function returnMemory(onReturned: (returned: Returned) => void): Disposable {
  const collect = loadCollector();
  const trim = loadTrim();
  let lowest = process.memoryUsage.rss();
  let worked = true; // the start
  /** Whether almost nothing happened at the last collection, so that the memory after it is that of an idle process. */
  let settled = false;
  let spentMs = 0;
  let last = process.cpuUsage();
  let since = performance.now();
  const spend = (): number => {
    const { user, system } = process.cpuUsage(last);
    last = process.cpuUsage();
    return (user + system) / 1000;
  };
  const giveBack = async (before: number): Promise<void> => {
    let milliseconds = 0;
    for (const step of [collect, trim, unmapCodePages]) {
      const started = performance.now();
      step();
      milliseconds = Math.max(milliseconds, performance.now() - started);
      await setImmediate();
    }
    lowest = process.memoryUsage.rss();
    spend(); // its own work does not count
    onReturned({ beforeBytes: before, afterBytes: lowest, longestMs: Math.round(milliseconds * 10) / 10 });
  };
  const lookNow = (): void => {
    const elapsedMs = performance.now() - since;
    since += elapsedMs;
    const ms = spend();
    spentMs += ms;
    const share = ms / elapsedMs;
    worked ||= ms > quietShare * paceMs; // even if the machine took many seconds for it
    const before = process.memoryUsage.rss();
    lowest = Math.min(lowest, before);
    if (worked ? share > quietShare : share > silentShare || spentMs < worthMs) return;
    worked = false;
    if (settled && before - lowest < worthwhile) return;
    settled = share <= silentShare;
    spentMs = 0;
    giveBack(before).catch(() => {});
  };
  /** Without a free descriptor, the memory cannot be read: what a timer throws would end the process. */
  const look = (): void => {
    try {
      lookNow();
    } catch {}
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
