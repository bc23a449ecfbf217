import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { createOrder } from './order.ts';

/** `here`: verified, and shown by the volume. `failing`: reads get an error until it is tried again. */
export type PieceState = 'missing' | 'coming' | 'here' | 'failing';

/** The pieces of one volume that are loaded while it is mounted, by number: layers, or chunks of them. */
export type Loading = {
  /** A read waits for a piece. One that fails, or whose download is silent, is tried again at once. */
  ask(piece: number): void;
  /** Tries again what fails. */
  retry(): void;
  /** Ends the downloads for which no read waits, and begins none of those until it is released. */
  hold(): void;
  release(): void;
  /** Whether it is held and no read waits: nothing is tried. */
  isIdle(): boolean;
  states(): readonly PieceState[];
  /**
   * Why a piece failed last, until bytes of it come: a try that is under way may fail again. While it is held, only of
   * pieces that reads wait for, or asked for since the last retry.
   */
  problem(): ArtifactError | undefined;
  /** Loads the pieces until all are here. No failure ends it. @throws the signal's reason, after its works have ended. */
  run(signal: AbortSignal): Promise<void>;
};

export type LoadingWork = {
  /** Fetches and verifies a piece, and shows its bytes. `heard`: called as bytes come. */
  bring(piece: number, heard: () => void, signal: AbortSignal): Promise<void>;
  /** A piece failed, and is tried again later. */
  failed(piece: number, error: ArtifactError): void;
  /** Of a piece. After one failed, others of its layer wait for the next try, too, unless they are asked for. */
  layerOf(piece: number): number;
};

/**
 * `lanes`: pieces that are loaded at a time; `more`: beside them while a read waits for another one. `silentMs`: a
 * download that brought nothing for so long is silent: its server may have lost the connection, and never say so.
 */
export type LoadingLimits = {
  readonly lanes: number;
  readonly more: number;
  readonly retryMs: number;
  silentMs(): number;
};

/** `isJump`: a read asked for it before it came. */
type Download = { readonly ending: AbortController; readonly isJump: boolean; heardAt: number };

/** A jump has the link as long as it brings something within this time. */
const jumpMs = 1_000;

export function createLoading(
  pieces: readonly ('missing' | 'here')[],
  { bring, failed, layerOf }: LoadingWork,
  { lanes, more, retryMs, silentMs }: LoadingLimits,
): Loading {
  const states: PieceState[] = [...pieces];
  let left = states.filter(state => state !== 'here').length;
  /** Layers of which a piece failed. */
  const resting = new Set<number>();
  const problems = new Map<number, ArtifactError>();
  const order = createOrder(pieces.length);
  const downloads = new Map<number, Download>();
  const isMissing = (piece: number): boolean => states[piece] === 'missing';
  let isHeld = false;
  /** While a piece comes that a read jumped to, none begins that nobody asked for: each takes its share of the link. */
  const hasJump = (): boolean =>
    downloads.values().some(({ isJump, heardAt }) => isJump && performance.now() - heardAt < jumpMs);
  const isIdle = (piece: number): boolean => isMissing(piece) && !resting.has(layerOf(piece));
  let pump = (): void => {};

  const fail = (piece: number, error: ArtifactError): void => {
    resting.add(layerOf(piece));
    problems.set(piece, error);
    failed(piece, error);
  };
  const isAwaited = (piece: number): boolean =>
    downloads.get(piece)?.isJump === true || order.isAsked(asked => asked === piece);
  /** Of what is not tried again while it is held. */
  const dropProblems = (): void => {
    for (const piece of problems.keys()) if (!isAwaited(piece)) problems.delete(piece);
  };
  const retry = (): void => {
    resting.clear();
    if (isHeld) dropProblems();
    for (const [piece, state] of states.entries()) if (state === 'failing') states[piece] = 'missing';
    pump();
  };

  return {
    ask(piece) {
      if (states[piece] === 'here') return;
      order.ask(piece);
      if (states[piece] === 'failing') states[piece] = 'missing';
      const download = downloads.get(piece);
      if (download !== undefined && performance.now() - download.heardAt >= silentMs())
        download.ending.abort(new ArtifactError('unavailable', 'the download was silent; it starts again'));
      pump();
    },
    retry,
    hold() {
      isHeld = true;
      dropProblems();
      for (const [piece, { ending }] of downloads)
        if (!isAwaited(piece)) ending.abort(new ArtifactError('cancelled', 'it is held'));
    },
    release() {
      isHeld = false;
      pump();
    },
    isIdle: () => isHeld && downloads.size === 0,
    states: () => states,
    problem: () => problems.values().next().value,
    async run(signal) {
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      let working = 0;
      const work = async (piece: number, isJump: boolean): Promise<void> => {
        working++;
        states[piece] = 'coming';
        const download: Download = { ending: new AbortController(), isJump, heardAt: performance.now() };
        downloads.set(piece, download);
        using _silence = isJump ? setInterval(pump, jumpMs).unref() : undefined;
        const either = AbortSignal.any([signal, download.ending.signal]);
        const heard = (): void => {
          download.heardAt = performance.now();
          problems.delete(piece);
        };
        try {
          await bring(piece, heard, either);
          states[piece] = 'here';
          left--;
          resting.delete(layerOf(piece));
          order.drop(piece);
          problems.delete(piece);
        } catch (thrown) {
          states[piece] = either.aborted ? 'missing' : 'failing';
          if (!either.aborted) fail(piece, toArtifactError(thrown));
        }
        downloads.delete(piece);
        working--;
        pump();
      };
      pump = () => {
        if (signal.aborted || left === 0) return working === 0 ? end() : undefined;
        for (;;) {
          const isAsked = order.isAsked(isMissing);
          if (working >= (isAsked ? lanes + more : lanes)) return undefined;
          const next = order.next(isMissing, isHeld || hasJump() ? none : isIdle);
          if (next === undefined) return undefined;
          void work(next, isAsked);
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

function none(): boolean {
  return false;
}
