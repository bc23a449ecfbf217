/** Values for the most recently used keys. */
export type Lru<T> = {
  take(key: string, make: () => T): T;
  values(): Iterable<T>;
};

/** Far above the number of registries of a node. Certificates that are renewed each hour must not accumulate. */
const kept = 64;

/** @param drop called with the least recently used value when there are more than 64. */
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
