import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { createOrder } from './order.ts';

/** `here`: verified, and shown by the volume. `failing`: reads get an error until it is tried again. */
export type LayerState = 'missing' | 'coming' | 'here' | 'failing';

/** The layers of one volume that are loaded while it is mounted, by number. */
export type Loading = {
  /** A read waits for a layer. One that fails, or whose download is silent, is tried again at once. */
  ask(layer: number): void;
  /** Tries again what fails. */
  retry(): void;
  states(): readonly LayerState[];
  /** Why a layer failed last, until bytes of it come: a try that is under way may fail again. */
  problem(): ArtifactError | undefined;
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
  silentMs(): number;
};

type Download = { readonly ending: AbortController; heardAt: number };

export function createLoading(
  layers: readonly ('missing' | 'here')[],
  { bring, failed }: LoadingWork,
  { lanes, more, retryMs, silentMs }: LoadingLimits,
): Loading {
  const states: LayerState[] = [...layers];
  const problems = new Map<number, ArtifactError>();
  const order = createOrder(layers.length);
  const downloads = new Map<number, Download>();
  const isMissing = (layer: number): boolean => states[layer] === 'missing';
  let pump = (): void => {};

  const fail = (layer: number, error: ArtifactError): void => {
    problems.set(layer, error);
    failed(layer, error);
  };
  const retry = (): void => {
    for (const [layer, state] of states.entries()) if (state === 'failing') states[layer] = 'missing';
    pump();
  };

  return {
    ask(layer) {
      order.ask(layer);
      if (states[layer] === 'failing') states[layer] = 'missing';
      const download = downloads.get(layer);
      if (download !== undefined && performance.now() - download.heardAt >= silentMs())
        download.ending.abort(new ArtifactError('unavailable', 'the download was silent; it starts again'));
      pump();
    },
    retry,
    states: () => states,
    problem: () => problems.values().next().value,
    async run(signal) {
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      let working = 0;
      const work = async (layer: number): Promise<void> => {
        working++;
        states[layer] = 'coming';
        const download: Download = { ending: new AbortController(), heardAt: performance.now() };
        downloads.set(layer, download);
        const either = AbortSignal.any([signal, download.ending.signal]);
        const heard = (): void => {
          download.heardAt = performance.now();
          problems.delete(layer);
        };
        try {
          await bring(layer, heard, either);
          states[layer] = 'here';
          problems.delete(layer);
        } catch (thrown) {
          states[layer] = either.aborted ? 'missing' : 'failing';
          if (!either.aborted) fail(layer, toArtifactError(thrown));
        }
        downloads.delete(layer);
        working--;
        pump();
      };
      pump = () => {
        if (signal.aborted || states.every(state => state === 'here'))
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
