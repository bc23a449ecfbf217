/** The part of a growing file that threads share. */
export type FileShare = {
  readonly fd: number;
  /** The hash algorithm of the whole file. */
  readonly algorithm: string;
  readonly state: FileState;
  /** Where its first byte is in the file of `fd`, if it is a part of that. */
  readonly base?: number;
};

/** The number of written bytes, which the writer advances; how often it started over; and the number of announced bytes. */
export type FileState = BigInt64Array;

/** The same with its owner, who need not be the writer. */
export type GrowingFile = FileShare & {
  /** Called now and then while it grows, and at the end. */
  grown(): void;
  /** Called with the number of bytes, from the start on, that are elsewhere and can come at once, and not in the file. */
  announced?(bytes: number): void;
  /** Called with the hash of the whole content, in hex. Absent: nothing is hashed. */
  hashed?(hex: string): void;
  /** Converts a write error to the owner's error. */
  failed(thrown: unknown): Error;
  /**
   * Makes the complete file of another program this one, which is empty: `fd` is that file from then on, opened for
   * reading alone. It owns the name of that file then, and removes it in the end.
   *
   * @throws EXDEV if it is on another mount; `unavailable` if it has another size or owner.
   */
  adopt?(other: OwnedName): Promise<void>;
  /** Lets its parts be written in any order. */
  readonly holes?: Holes;
};

/** The name of a file, which disposing this removes. */
export type OwnedName = Disposable & { readonly path: string };

/** Bytes of a file that come after a hole, from `from` up to `to`. */
export type Extent = { readonly from: number; readonly to: number };

/** The holes of a file whose parts come in any order. The functions throw errors of the filesystem. */
export type Holes = {
  /** What is there after the first hole, in order: at the opening, what an earlier writer left. */
  readonly extents: readonly Extent[];
  /** Records that so many bytes from the start on are there, and these extents. The last of very many are not kept. */
  fill(bytes: number, extents: readonly Extent[]): void;
  /** Drops what comes after the first hole. Bytes come in order from then on. */
  close(): void;
};

export function createFileState(): FileState {
  return new BigInt64Array(new SharedArrayBuffer(3 * BigInt64Array.BYTES_PER_ELEMENT));
}

export function sizeOf(state: FileState): number {
  return Number(Atomics.load(state, 0));
}

export function setSize(state: FileState, bytes: number): void {
  Atomics.store(state, 0, BigInt(bytes));
}

/** The written bytes, or more that were announced: for a display of progress only. */
export function announcedOf(state: FileState): number {
  return Math.max(sizeOf(state), Number(Atomics.load(state, 2)));
}

export function announce(state: FileState, bytes: number): void {
  Atomics.store(state, 2, BigInt(bytes));
}

/** Equal while the written bytes stay. */
export function lifeOf(state: FileState): bigint {
  return Atomics.load(state, 1);
}

export function beginAnew(state: FileState): void {
  setSize(state, 0);
  announce(state, 0);
  Atomics.add(state, 1, 1n);
}
