/**
 * Keeps what comes until it is told where that goes: `receive` answers a promise then, and who heeds it sends no more
 * until it is resolved.
 */
export type Gate = {
  receive(piece: Uint8Array): Promise<void> | undefined;
  /** Hands over what came, and from now on all that comes. @throws what `to` throws. */
  open(to: (piece: Uint8Array) => void): void;
};

export function openGate(): Gate {
  const opened = Promise.withResolvers<void>();
  const kept: Buffer[] = [];
  let to: ((piece: Uint8Array) => void) | undefined;
  return {
    receive(piece) {
      if (to === undefined) {
        kept.push(Buffer.from(piece));
        return opened.promise;
      }
      to(piece);
      return undefined;
    },
    open(target) {
      to = target;
      for (const piece of kept.splice(0)) target(piece);
      opened.resolve();
    },
  };
}
