import type { Ingest } from '../../ports/store.ts';
import type { LayerArrival, UnpackSource } from '../../ports/unpacker.ts';
import { lifeOf, sizeOf } from '../../util/growing-file.ts';

/** A layer that is unpacked, and not in the cache yet. Disposing it removes what is not. */
export type UnpackedLayer = AsyncDisposable & { commit(): Promise<void> };

/**
 * A layer that is unpacked while it arrives, into a directory that nothing else uses. Its bytes are not verified, so
 * nothing that comes of them counts before they are: no result and no failure. Disposing it ends the work, and removes
 * what is not in the cache.
 */
export type EarlyUnpacking = AsyncDisposable & {
  /** More bytes are there. */
  arrived(): void;
  /**
   * The whole file is there and verified. Waits until it is unpacked; undefined if it must be unpacked from the start:
   * there was no slot, the download began anew, or it failed, and the reason is that of a verified file then.
   */
  finish(): Promise<UnpackedLayer | undefined>;
};

/** @param means `slot` waits for a slot; `unpack` collects nothing for the layer before `verified`. */
export function createEarlyUnpacking(
  { path, file }: Pick<Ingest, 'path' | 'file'>,
  size: number,
  means: {
    readonly slot: (signal: AbortSignal) => Promise<Disposable>;
    readonly unpack: (
      source: UnpackSource,
      verified: Promise<void>,
      signal: AbortSignal,
    ) => Promise<UnpackedLayer>;
  },
  signal: AbortSignal,
): EarlyUnpacking {
  const ending = new AbortController();
  const either = AbortSignal.any([signal, ending.signal]);
  const verified = Promise.withResolvers<void>();
  let growth = Promise.withResolvers<void>();
  let life: bigint | undefined;
  let hasSlot = false;
  let running: Promise<UnpackedLayer | undefined> | undefined;

  /** Bytes below the size of a file change only if it begins anew, which its life says afterwards. */
  const isSame = (): boolean => life === lifeOf(file.state);
  const wake = (): void => {
    growth.resolve();
    growth = Promise.withResolvers();
  };

  const arrival: LayerArrival = {
    size,
    async more(past) {
      for (;;) {
        const present = sizeOf(file.state);
        if (!isSame()) throw new Error('the download began anew');
        if (present > past) return present;
        await growth.promise;
      }
    },
  };

  const run = async (): Promise<UnpackedLayer | undefined> => {
    try {
      using _slot = await means.slot(either);
      hasSlot = true;
      return await means.unpack({ path, arrival }, verified.promise, either);
    } catch {
      return undefined;
    }
  };
  const end = async (): Promise<void> => {
    const reason = new Error('the layer is not unpacked as it arrives');
    ending.abort(reason);
    verified.reject(reason);
    wake();
    const unpacked = await running;
    await unpacked?.[Symbol.asyncDispose]();
  };
  verified.promise.catch(() => {});

  return {
    arrived() {
      if (running === undefined) {
        life = lifeOf(file.state);
        running = run();
      }
      wake();
    },
    async finish() {
      if (hasSlot && isSame()) {
        verified.resolve();
        return await running;
      }
      await end();
      return undefined;
    },
    [Symbol.asyncDispose]: end,
  };
}
