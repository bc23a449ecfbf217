import type { Blobs, Evidence, Item, Layers, Look, Views } from '../../ports/store.ts';
import { toArtifactError } from '../../util/error.ts';
import { startPace } from '../../util/pace.ts';
import type { Integrity } from './integrity.ts';
import { itemKey, listItems } from './items.ts';

/** Verifies the whole cache repeatedly and slowly, and first what publishes had no time to verify. */
export type Scrub = {
  /** Verifies an item as soon as there is time. */
  later(item: Item): void;
  /** Works until the signal aborts; never rejects. */
  run(signal: AbortSignal): Promise<void>;
};

/** How often the cache is searched for items that are due, ms; more often if the interval is short. */
const lookEvery = 60_000;

/**
 * Continues where the last process stopped: the least recently verified item is next, and the times are on disk.
 *
 * @param interval milliseconds between two verifications of the same item; 0: only items passed to `later`.
 */
export function createScrub(
  world: {
    readonly blobs: Blobs;
    readonly layers: Layers;
    readonly evidence: Pick<Evidence, 'verifiedAt'>;
    /** Reads and hashes while no one else uses the disk. */
    readonly hashSlowly: Look;
    /** Makes an item immutable, if the filesystem can. */
    readonly seal: (item: Item, signal: AbortSignal) => Promise<void>;
    readonly views: Pick<Views, 'holding' | 'checkImage'>;
    readonly integrity: Pick<Integrity, 'inspect' | 'retire'>;
    readonly warn: (text: string) => void;
  },
  interval: number,
): Scrub {
  const { views, evidence, integrity, hashSlowly, warn } = world;
  const urgent = new Map<string, Item>();
  let wake = (): void => {};

  const attempt = async (item: Item, step: () => Promise<unknown>, signal: AbortSignal): Promise<void> => {
    try {
      await step();
    } catch (thrown) {
      if (!signal.aborted)
        warn(`${item.digest} could not be verified: ${toArtifactError(thrown).message}; it will be retried`);
    }
  };
  const seal = (item: Item, signal: AbortSignal): Promise<void> =>
    world.seal(item, signal).catch((thrown: unknown) => {
      if (!signal.aborted) warn(`${item.digest} is not sealed: ${toArtifactError(thrown).message}`);
    });
  /** An image is verified with the first of its layers, and so as often as they are. */
  const verifyImages = async ({ kind, digest }: Item, signal: AbortSignal): Promise<void> => {
    if (kind === 'blobs') return;
    for (const view of await views.holding({ kind, digest })) {
      if (view.layers[0] !== digest || view.damage !== undefined) continue;
      const problem = await views.checkImage(view.key, hashSlowly, signal);
      if (problem !== undefined) await integrity.retire(view, problem);
    }
  };
  const verify = (item: Item, signal: AbortSignal): Promise<void> =>
    attempt(
      item,
      async () => {
        await integrity.inspect(item, hashSlowly, true, signal);
        await verifyImages(item, signal);
      },
      signal,
    );

  const verifyUrgent = async (signal: AbortSignal): Promise<void> => {
    for (const [key, item] of urgent) {
      urgent.delete(key);
      await verify(item, signal);
    }
  };

  const round = async (signal: AbortSignal): Promise<void> => {
    await verifyUrgent(signal);
    const items = await listItems(world);
    const pace = startPace(signal);
    for (const item of items) {
      if (evidence.verifiedAt(item) > 0) await seal(item, signal);
      await pace();
    }
    if (interval === 0) return;
    const before = Date.now() - interval;
    const due = items.filter(item => evidence.verifiedAt(item) < before);
    for (const item of due.sort((a, b) => evidence.verifiedAt(a) - evidence.verifiedAt(b))) {
      if (signal.aborted) return;
      await verifyUrgent(signal);
      if (evidence.verifiedAt(item) < before) await verify(item, signal);
    }
  };

  const rest = async (signal: AbortSignal): Promise<void> => {
    if (urgent.size > 0 || signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, Math.min(lookEvery, interval === 0 ? lookEvery : interval / 4));
    wake = resolve;
    signal.addEventListener('abort', wake, { once: true });
    await promise;
    signal.removeEventListener('abort', wake);
    clearTimeout(timer);
  };

  return {
    later(item) {
      urgent.set(itemKey(item), item);
      wake();
    },
    async run(signal) {
      while (!signal.aborted) {
        await round(signal).catch((thrown: unknown) => {
          if (!signal.aborted) warn(`the cache could not be verified: ${toArtifactError(thrown).message}`);
        });
        await rest(signal);
      }
    },
  };
}
