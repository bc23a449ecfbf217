import type { Progress } from '../ports/usecases.ts';
import { ArtifactError } from '../util/error.ts';

/** How a turn ended that did not fail. `over`: others are due, and the item comes again after them. */
export type TurnOutcome = 'done' | 'over';

/** How often a turn is checked, ms. */
export const lookMs = 5_000;
/** How long an entry may wait for its registry before the others get their turn. */
const patienceMs = 10_000;
/**
 * How long an entry may work while others are due; twice as long in each further turn, because a registry without
 * ranges starts again. What came is kept.
 */
const turnMs = 60_000;
const longestTurnMs = 60 * 60_000;

/**
 * Ends the turn of an item that is no longer wanted, is slow while others are due, or whose registry lets it wait.
 *
 * @param item `turns`: those that it has had. `unwanted`: why its work must end; undefined if it must not.
 */
export async function inTurn(
  work: (onProgress: (progress: Progress) => void, signal: AbortSignal) => Promise<void>,
  item: {
    readonly turns: number;
    readonly unwanted: () => string | undefined;
    readonly isOtherDue: () => boolean;
  },
  signal: AbortSignal,
  now: () => number,
): Promise<TurnOutcome> {
  const turn = new AbortController();
  const endsAt = now() + Math.min(longestTurnMs, turnMs * 2 ** item.turns);
  const end = (why: string): void => turn.abort(new ArtifactError('unavailable', why));
  let wait: { readonly since: number; readonly why: string } | undefined;
  let isOver = false;
  using _look = setInterval(() => {
    const why = item.unwanted();
    if (why !== undefined) end(why);
    else if (wait !== undefined && now() - wait.since >= patienceMs) end(wait.why);
    else if (now() >= endsAt && item.isOtherDue()) {
      isOver = true;
      end('others are due');
    }
  }, lookMs).unref();
  const onProgress = ({ waits }: Progress): void => {
    wait = waits === undefined ? undefined : { since: wait?.since ?? now(), why: waits };
  };
  try {
    await work(onProgress, AbortSignal.any([signal, turn.signal]));
    return 'done';
  } catch (thrown) {
    if (isOver) return 'over';
    turn.signal.throwIfAborted();
    throw thrown;
  }
}
