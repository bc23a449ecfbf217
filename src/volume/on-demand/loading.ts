import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { createOrder } from './order.ts';

/** `here`: verified, and shown by the volume. `failing`: reads get an error until it is tried again. */
export type LayerState =
  | { readonly kind: 'missing' | 'coming' | 'here' }
  | { readonly kind: 'failing'; readonly error: ArtifactError };

/** The layers of one volume that are loaded while it is mounted, by number. */
export type Loading = {
  /** A read waits for a layer. One that fails, or whose download is silent, is tried again at once. */
  ask(layer: number): void;
  /** Tries again what fails. */
  retry(): void;
  states(): readonly LayerState[];
  /** Loads the layers until all are here. No failure ends it. @throws the signal's reason, after its works have ended. */
  run(signal: AbortSignal): Promise<void>;
};

export type LoadingWork = {
  /** Fetches and verifies a layer, and shows its bytes. `heard`: called as bytes come. */
  bring(layer: number, heard: () => void, signal: AbortSignal): Promise<void>;
  /** A layer failed, and is tried again later. */
  failed(layer: number, error: ArtifactError): void;
};

/**
 * `lanes`: layers that are loaded at a time; `more`: beside them while a read waits for another one. `silentMs`: a
 * download that brought nothing for so long is silent: its server may have lost the connection, and never say so.
 */
export type LoadingLimits = {
  readonly lanes: number;
  readonly more: number;
  readonly retryMs: number;
  readonly silentMs: number;
};

type Download = { readonly ending: AbortController; heardAt: number };

export function createLoading(
  layers: readonly ('missing' | 'here')[],
  { bring, failed }: LoadingWork,
  { lanes, more, retryMs, silentMs }: LoadingLimits,
): Loading {
  const states = layers.map((kind): LayerState => ({ kind }));
  const order = createOrder(layers.length);
  const downloads = new Map<number, Download>();
  const isMissing = (layer: number): boolean => states[layer]?.kind === 'missing';
  let pump = (): void => {};

  const retry = (): void => {
    for (const [layer, { kind }] of states.entries()) {
      if (kind === 'failing') states[layer] = { kind: 'missing' };
    }
    pump();
  };

  return {
    ask(layer) {
      order.ask(layer);
      if (states[layer]?.kind === 'failing') states[layer] = { kind: 'missing' };
      const download = downloads.get(layer);
      if (download !== undefined && performance.now() - download.heardAt >= silentMs)
        download.ending.abort(new ArtifactError('unavailable', 'the download was silent; it starts again'));
      pump();
    },
    retry,
    states: () => states,
    async run(signal) {
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      let working = 0;
      const work = async (layer: number): Promise<void> => {
        working++;
        states[layer] = { kind: 'coming' };
        const download: Download = { ending: new AbortController(), heardAt: performance.now() };
        downloads.set(layer, download);
        const either = AbortSignal.any([signal, download.ending.signal]);
        try {
          await bring(layer, () => void (download.heardAt = performance.now()), either);
          states[layer] = { kind: 'here' };
        } catch (thrown) {
          const error = toArtifactError(thrown);
          states[layer] = either.aborted ? { kind: 'missing' } : { kind: 'failing', error };
          if (!either.aborted) failed(layer, error);
        }
        downloads.delete(layer);
        working--;
        pump();
      };
      pump = () => {
        if (signal.aborted || states.every(({ kind }) => kind === 'here'))
          return working === 0 ? end() : undefined;
        while (working < (order.isAsked(isMissing) ? lanes + more : lanes)) {
          const next = order.next(isMissing);
          if (next === undefined) return undefined;
          void work(next);
        }
      };
      using _retries = setInterval(retry, retryMs).unref();
      const wake = (): void => pump();
      signal.addEventListener('abort', wake, { once: true });
      pump();
      await ended.finally(() => signal.removeEventListener('abort', wake));
      signal.throwIfAborted();
    },
  };
}
