/** What somebody asked about a short while ago: what is to come of it may not be held yet. */
export type Recency = {
  note(name: string): void;
  has(name: string): boolean;
};

/** Milliseconds. Longer than a registry is asked for a manifest. */
const whileMs = 10 * 60_000;

export function createRecency(): Recency {
  /** The oldest first. */
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
