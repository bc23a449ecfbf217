import { abortable } from './abortable.ts';

/** An answer, and for how many milliseconds it may be given again: under `key` where that is another than it was asked by. */
export type MemoAnswer<Value> = { readonly value: Value; readonly forMs: number; readonly key?: string };

/** Answers that hold for a while, and one question at a time for those who ask the same. */
export type Memo<Value> = {
  /** What is remembered under a key. */
  find(key: string): Value | undefined;
  /**
   * What is remembered, or what `ask` answers now, to all who wait for this key. It goes on when they leave: its own
   * signal is never aborted. A failure is thrown to all of them and not remembered.
   *
   * @throws what `ask` throws; the signal's reason.
   */
  recall(
    key: string,
    ask: (unending: AbortSignal) => Promise<MemoAnswer<Value>>,
    signal: AbortSignal,
  ): Promise<Value>;
};

const most = 1_000;
const unending = new AbortController().signal;

/** Keeps 1,000 answers at most; the oldest give way. */
export function createMemo<Value>(now: () => number = Date.now): Memo<Value> {
  const held = new Map<string, { readonly value: Value; readonly until: number }>();
  const pending = new Map<string, Promise<Value>>();

  const find = (key: string): Value | undefined => {
    const found = held.get(key);
    return found !== undefined && found.until > now() ? found.value : undefined;
  };

  const keep = (key: string, value: Value, forMs: number): void => {
    held.delete(key);
    if (forMs <= 0) return;
    for (const [other, { until }] of held) if (until <= now()) held.delete(other);
    const oldest = held.size >= most ? held.keys().next() : undefined;
    if (oldest?.done === false) held.delete(oldest.value);
    held.set(key, { value, until: now() + forMs });
  };

  return {
    find,
    async recall(key, ask, signal) {
      signal.throwIfAborted();
      const known = find(key);
      if (known !== undefined) return known;
      let asking = pending.get(key);
      if (asking === undefined) {
        asking = ask(unending)
          .then(answer => {
            keep(answer.key ?? key, answer.value, answer.forMs);
            return answer.value;
          })
          .finally(() => pending.delete(key));
        asking.catch(() => undefined); // every caller may have left
        pending.set(key, asking);
      }
      return abortable(asking, signal);
    },
  };
}
