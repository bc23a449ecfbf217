/**
 * Works on all items, one after the other, also after one that fails.
 *
 * @throws the first failure, after the last item.
 */
export async function doEach<T>(items: Iterable<T>, work: (item: T) => unknown): Promise<void> {
  const failures: unknown[] = [];
  for (const item of items) {
    try {
      await work(item);
    } catch (thrown) {
      failures.push(thrown);
    }
  }
  if (failures.length > 0) throw failures[0];
}
