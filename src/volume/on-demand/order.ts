/**
 * The order in which the layers of a volume are loaded: those that a read waits for, in the order of asking; then those
 * after the one that was asked for last, because programs read files in order; then the others, from the first on.
 * Layers are numbers from 0 on.
 */
export type Order = {
  /** A read waits for this layer. */
  ask(layer: number): void;
  /** The next layer of those that may be loaded; undefined if there is none. */
  next(isOpen: (layer: number) => boolean): number | undefined;
  /** Whether a read waits for a layer of those that may be loaded. */
  isAsked(isOpen: (layer: number) => boolean): boolean;
};

export function createOrder(count: number): Order {
  /** In the order of asking. */
  const asked = new Set<number>();
  let last = 0;
  return {
    ask(layer) {
      asked.add(layer);
      last = layer;
    },
    next(isOpen) {
      const wanted = asked.values().find(isOpen);
      if (wanted !== undefined) {
        asked.delete(wanted);
        return wanted;
      }
      for (let step = 0; step < count; step++) {
        const layer = (last + step) % count;
        if (isOpen(layer)) return layer;
      }
      return undefined;
    },
    isAsked: isOpen => asked.values().some(isOpen),
  };
}
