/**
 * Names that were requested a short while ago. Their content may still be on its way, so that it is not in the cache
 * yet.
 */
export type Recency = {
  note(name: string): void;
  has(name: string): boolean;
};

/** Milliseconds. Longer than a request for a manifest may take. */
const whileMs = 10 * 60_000;

export function createRecency(): Recency {
  /** Oldest first. */
  const since = new Map<string, number>();
  const forgetOld = (): void => {
    for (const [name, at] of since) {
      if (Date.now() - at < whileMs) break;
      since.delete(name);
    }
  };
  return {
    note(name) {
      forgetOld();
      since.delete(name);
      since.set(name, Date.now());
    },
    has(name) {
      forgetOld();
      return since.has(name);
    },
  };
}
