/** Bytes that are read at a time. */
export const chunk: number = 1 << 20;

/**
 * `bytes` is what it will have; undefined where that is not known before its end. Disposed, it is read no more: an input
 * that nobody ends would keep the process.
 */
export type Layout = Disposable & {
  readonly tar: AsyncIterable<Uint8Array>;
  readonly bytes: number | undefined;
};
