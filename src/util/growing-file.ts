/** The part of a growing file that threads share. */
export type FileShare = {
  readonly fd: number;
  /** The hash algorithm of the whole file. */
  readonly algorithm: string;
  readonly state: FileState;
};

/**
 * The number of written bytes, which the writer advances; how often it started over; and to what size it may grow for
 * now, which its owner sets.
 */
export type FileState = BigInt64Array;

/** The same with its owner, who need not be the writer. */
export type GrowingFile = FileShare & {
  /** Called now and then while it grows, and at the end. */
  grown(): void;
  /** Called with the hash of the whole content, in hex. */
  hashed(hex: string): void;
  /** Converts a write error to the owner's error. */
  failed(thrown: unknown): Error;
};

export function createFileState(): FileState {
  const state = new BigInt64Array(new SharedArrayBuffer(3 * BigInt64Array.BYTES_PER_ELEMENT));
  setLimit(state, undefined);
  return state;
}

export function sizeOf(state: FileState): number {
  return Number(Atomics.load(state, 0));
}

export function setSize(state: FileState, bytes: number): void {
  Atomics.store(state, 0, BigInt(bytes));
}

/** Equal while the written bytes stay. */
export function lifeOf(state: FileState): bigint {
  return Atomics.load(state, 1);
}

export function beginAnew(state: FileState): void {
  setSize(state, 0);
  Atomics.add(state, 1, 1n);
}

const unlimited = 2n ** 63n - 1n;

/** Lets the file grow to so many bytes, which the writer exceeds by a chunk at most; undefined: without limit. */
export function setLimit(state: FileState, bytes: number | undefined): void {
  Atomics.store(state, 2, bytes === undefined ? unlimited : BigInt(bytes));
  Atomics.notify(state, 2);
}

/** Undefined while the file may grow; else a promise that resolves when it may again. It never rejects. */
export function waitForRoom(state: FileState): Promise<void> | undefined {
  const limit = Atomics.load(state, 2);
  if (Atomics.load(state, 0) < limit) return undefined;
  return waitUntilRaised(state, limit);
}

async function waitUntilRaised(state: FileState, limit: bigint): Promise<void> {
  for (let known = limit; Atomics.load(state, 0) >= known; known = Atomics.load(state, 2))
    await Atomics.waitAsync(state, 2, known).value;
}
