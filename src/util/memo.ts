import { abortable, never } from './abortable.ts';

/** An answer, and the milliseconds for which it is cached; under `key` if that differs from the requested one. */
export type MemoAnswer<Value> = { readonly value: Value; readonly forMs: number; readonly key?: string };

/** Answers that are cached for a while, with one concurrent request per key. */
export type Memo<Value> = {
  /** Returns the cached value of a key. */
  find(key: string): Value | undefined;
  /**
   * Returns the cached value, or the answer of `ask`, shared by all callers that wait for this key. `ask` continues
   * when they abort: its own signal is never aborted. A failure is thrown to all of them and not cached.
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

/** Caches at most 1,000 answers and drops the oldest. @param now ms: of a clock that nobody sets, or dates. */
export function createMemo<Value>(now: () => number = () => performance.now()): Memo<Value> {
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
        asking = ask(never)
          .then(answer => {
            keep(answer.key ?? key, answer.value, answer.forMs);
            return answer.value;
          })
          .finally(() => pending.delete(key));
        asking.catch(() => undefined); // every caller may have aborted
        pending.set(key, asking);
      }
      return abortable(asking, signal);
    },
  };
}

/** The latest values by a key, up to a total size, so that a large one does not displace many small ones. */
export type Recall<Key, Value> = {
  get(key: Key): Value | undefined;
  /** The value is then the latest. `size`: in the unit of the limits. Default: 1, for limits that count values. */
  keep(key: Key, value: Value, size?: number): void;
  delete(key: Key): void;
  /** Returns them, the latest last. */
  values(): readonly Value[];
};

/** @param most the total size; `mostEach`: that of the largest value that is kept. */
export function createRecall<Key, Value>(most: number, mostEach: number = most): Recall<Key, Value> {
  const kept = new Map<Key, { readonly value: Value; readonly size: number }>();
  let total = 0;
  const forget = (key: Key): void => {
    total -= kept.get(key)?.size ?? 0;
    kept.delete(key);
  };
  return {
    get: key => kept.get(key)?.value,
    keep(key, value, size = 1) {
      forget(key);
      if (size > mostEach) return;
      kept.set(key, { value, size });
      total += size;
      for (const oldest of kept.keys()) {
        if (total <= most) break;
        forget(oldest);
      }
    },
    delete: forget,
    values: () => [...kept.values()].map(({ value }) => value),
  };
}

/** The values of the most recently used keys, which are hosts, or what connections trust. */
export type Lru<T> = {
  take(key: string, make: () => T): T;
  values(): Iterable<T>;
};

/** Far above the number of registries of a node. Certificates that are renewed each hour must not accumulate. */
const mostUsed = 64;

/** @param drop called with the least recently used value when there are more than 64. */
export function openLru<T>(drop: (value: T) => void = () => {}): Lru<T> {
  const values = new Map<string, T>();
  return {
    take(key, make) {
      const value = values.get(key) ?? make();
      values.delete(key);
      values.set(key, value);
      const [oldest] = values;
      if (values.size > mostUsed && oldest !== undefined) {
        values.delete(oldest[0]);
        drop(oldest[1]);
      }
      return value;
    },
    values: () => values.values(),
  };
}
