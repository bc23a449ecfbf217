/**
 * Buffers what arrives until a receiver is known. Until then `receive` returns a promise, and the sender should send no
 * more before it resolves.
 */
export type Gate = {
  receive(piece: Uint8Array): Promise<void> | undefined;
  /** Passes on the buffered bytes, and from now on all that arrive. @throws what `to` throws. */
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
