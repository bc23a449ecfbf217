/**
 * The order in which the pieces of a volume are loaded: those that a read waits for, in the order of asking; then those
 * after the one that was asked for last, because programs read files in order; then the others, from the first on.
 * Pieces are numbers from 0 on.
 */
export type Order = {
  /** A read waits for this piece. */
  ask(piece: number): void;
  /** No read waits for it any more. */
  drop(piece: number): void;
  /** The next piece of those that may be loaded; undefined if there is none. `isIdle`: of those nobody asked for. */
  next(isOpen: IsOpen, isIdle?: IsOpen): number | undefined;
  /** Whether a read waits for a piece of those that may be loaded. */
  isAsked(isOpen: IsOpen): boolean;
};

type IsOpen = (piece: number) => boolean;

export function createOrder(count: number): Order {
  /** In the order of asking. */
  const asked = new Set<number>();
  let last = 0;
  return {
    ask(piece) {
      asked.add(piece);
      last = piece;
    },
    drop: piece => void asked.delete(piece),
    next(isOpen, isIdle = isOpen) {
      const wanted = asked.values().find(isOpen);
      if (wanted !== undefined) {
        asked.delete(wanted);
        return wanted;
      }
      for (let step = 0; step < count; step++) {
        const piece = (last + step) % count;
        if (isIdle(piece)) return (last = piece); // there may be very many, and those before it are loaded
      }
      return undefined;
    },
    isAsked: isOpen => asked.values().some(isOpen),
  };
}
