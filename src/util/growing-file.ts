/** What threads share of a file that grows at its end. */
export type FileShare = {
  readonly fd: number;
  /** By which all of it is hashed. */
  readonly algorithm: string;
  readonly state: FileState;
};

/** How many bytes it has, which is moved on by who appends to it once they are written; and how often it began anew. */
export type FileState = BigInt64Array;

/** The same with its owner, who need not be the one that appends to it. */
export type GrowingFile = FileShare & {
  /** Told now and then while it grows, and at the end. */
  grown(): void;
  /** Told the hash, in hex, of all that is in it. */
  hashed(hex: string): void;
  /** What its owner makes of it when it could not be written. */
  failed(thrown: unknown): Error;
};

export function createFileState(): FileState {
  return new BigInt64Array(new SharedArrayBuffer(2 * BigInt64Array.BYTES_PER_ELEMENT));
}

export function sizeOf(state: FileState): number {
  return Number(Atomics.load(state, 0));
}

export function setSize(state: FileState, bytes: number): void {
  Atomics.store(state, 0, BigInt(bytes));
}

/** Equal as long as what was written stays. */
export function lifeOf(state: FileState): bigint {
  return Atomics.load(state, 1);
}

export function beginAnew(state: FileState): void {
  setSize(state, 0);
  Atomics.add(state, 1, 1n);
}
