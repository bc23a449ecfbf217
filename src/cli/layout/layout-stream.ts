/** Bytes per read. */
export const chunk: number = 1 << 20;

/**
 * `bytes` is the total; undefined if it is only known at the end. Disposing it stops reading, because an open input
 * would keep the process alive.
 */
export type Layout = Disposable & {
  readonly tar: AsyncIterable<Uint8Array>;
  readonly bytes: number | undefined;
};
