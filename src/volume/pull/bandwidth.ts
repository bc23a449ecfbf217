import type { Sink } from '../../ports/registry.ts';
import type { Tenants } from '../../util/fair-slots.ts';
import { setLimit, sizeOf } from '../../util/growing-file.ts';
import { sleep } from '../../util/sleep.ts';

/** Bounds the rate of downloads that only one tenant wants. */
export type Bandwidth = {
  /**
   * Waits until a download into the sink may begin, and slows it down until this is disposed. As soon as another tenant
   * wants it too, neither happens any more.
   *
   * @param size bytes of the whole content.
   */
  slow(sink: Sink, size: number, tenants: Tenants, signal: AbortSignal): Promise<Disposable>;
};

/** How often a file gets more room, in milliseconds. */
const stepMs = 100;

/**
 * All slowed downloads share the rate. A file that a thread writes grows by its share at each step. Bytes that come in
 * another way are waited for beforehand, so that the average is kept.
 */
export function createBandwidth(bytesPerSecond: number, tenant: string): Bandwidth {
  let growing = 0;
  /** When the bytes that came beside the files have had their time. */
  let freeAt = 0;

  const reserve = (bytes: number): number => {
    const now = performance.now();
    const beginsAt = Math.max(now, freeAt);
    freeAt = beginsAt + (bytes / bytesPerSecond) * 1000;
    return beginsAt - now;
  };

  return {
    async slow(sink, size, tenants, signal) {
      const lifted = new AbortController();
      using stack = new DisposableStack();
      stack.use(tenants.each(one => one !== tenant && lifted.abort()));
      const { file } = sink;
      if (file === undefined) {
        const waitMs = lifted.signal.aborted ? 0 : reserve(size - sink.offset);
        if (waitMs > 0) await sleep(waitMs, AbortSignal.any([signal, lifted.signal]));
        return stack.move();
      }
      const { state } = file;
      growing++;
      stack.defer(() => {
        growing--;
        setLimit(state, undefined);
      });
      let allowed = sink.offset;
      const grow = (): void => {
        if (lifted.signal.aborted) return setLimit(state, undefined);
        const at = sizeOf(state);
        if (at > allowed) reserve(at - allowed); // beyond the limit by a chunk, or not written by a thread
        allowed = Math.max(allowed, at);
        if (performance.now() >= freeAt) allowed = at + (bytesPerSecond * stepMs) / 1000 / growing;
        setLimit(state, Math.ceil(allowed));
      };
      grow();
      lifted.signal.addEventListener('abort', grow);
      stack.use(setInterval(grow, stepMs).unref());
      return stack.move();
    },
  };
}
