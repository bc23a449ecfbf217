import { createRecall } from '../../util/memo.ts';
import { sleep } from '../../util/sleep.ts';

/** Waits until this node may ask what a tag names. @throws the reason of the signal if it aborts. */
export type TagSpread = (tag: string, signal: AbortSignal) => Promise<void>;

/** Far more tags than the pods of one node have. */
const maxTags = 1_000;

/**
 * Spreads the questions of many nodes for one tag over time. Each node waits a random time of at most `mostMs`. All its
 * pods that want the tag wait until then together, and for `mostMs` after that none waits.
 *
 * @param mostMs more than 0, ms. @param random is at least 0 and less than 1.
 */
export function createTagSpread(
  mostMs: number,
  now: () => number = () => performance.now(),
  random: () => number = Math.random,
): TagSpread {
  /** When each tag is asked for. */
  const turns = createRecall<string, number>(maxTags);

  const turnOf = (tag: string): number => {
    const known = turns.get(tag);
    if (known !== undefined && now() < known + mostMs) return known;
    const turn = now() + random() * mostMs;
    turns.keep(tag, turn);
    return turn;
  };

  return async (tag, signal) => {
    const wait = turnOf(tag) - now();
    if (wait > 0) await sleep(wait, signal);
    signal.throwIfAborted();
  };
}
