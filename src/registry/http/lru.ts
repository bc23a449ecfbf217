/** What was made for the keys used last. */
export type Lru<T> = {
  take(key: string, make: () => T): T;
  values(): Iterable<T>;
};

/** Far above the registries of any node; certificates that are renewed each hour must not add up for ever. */
const kept = 64;

/** @param drop told what was used longest ago, when there are more than 64. */
export function openLru<T>(drop: (value: T) => void = () => {}): Lru<T> {
  const values = new Map<string, T>();
  return {
    take(key, make) {
      const value = values.get(key) ?? make();
      values.delete(key);
      values.set(key, value);
      const [oldest] = values;
      if (values.size > kept && oldest !== undefined) {
        values.delete(oldest[0]);
        drop(oldest[1]);
      }
      return value;
    },
    values: () => values.values(),
  };
}
