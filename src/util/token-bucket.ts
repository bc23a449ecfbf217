import { abortable } from './abortable.ts';

/** A token bucket that threads share: so many bytes a second for all that is received from it. */
export type TokenBucket = {
  readonly bytesPerSecond: number;
  /** When all bytes that were reserved have had their time, in ns of the monotonic clock. */
  readonly freeAt: BigInt64Array;
};

/**
 * The part of one download: whether it has been lifted, the bytes that it has reserved and not received, and the bytes
 * that are still to come.
 */
export type Allowance = { readonly bucket: TokenBucket; readonly state: BigInt64Array };

const [lifted, reserved, toCome] = [0, 1, 2];

/** The bytes of this time are reserved in one step: waking up late costs a small part of it. */
const stepMs = 50;
const leastStep = 64 * 1024;

export function createTokenBucket(bytesPerSecond: number): TokenBucket {
  return { bytesPerSecond, freeAt: shared(1) };
}

/** @param bytes how many the download has to receive. */
export function openAllowance(bucket: TokenBucket, bytes: number): Allowance {
  const state = shared(3);
  Atomics.store(state, toCome, BigInt(bytes));
  return { bucket, state };
}

/** Waits until the first byte may be received. @throws the signal's reason. */
export async function begin(allowance: Allowance, signal: AbortSignal): Promise<void> {
  const wait = receive(allowance, 0);
  if (wait === undefined) return;
  // The wait of a thread does not keep the process alive.
  using _alive = setInterval(() => {}, 60_000);
  await abortable(wait, signal);
}

/** Opens an allowance when its first byte may be received. @throws the signal's reason. */
export async function beginAllowance(
  bucket: TokenBucket,
  bytes: number,
  signal: AbortSignal,
): Promise<Allowance> {
  const allowance = openAllowance(bucket, bytes);
  await begin(allowance, signal);
  return allowance;
}

/** Whether all bytes of the present time are given: then the bucket is what makes a download slow. */
export function isSpent({ freeAt }: TokenBucket): boolean {
  return Atomics.load(freeAt, 0) > process.hrtime.bigint();
}

/** From now on nothing is waited for. */
export function lift({ state }: Allowance): void {
  Atomics.store(state, lifted, 1n);
  Atomics.notify(state, lifted);
}

/**
 * Records received bytes. Returns a promise if the next ones must wait; it resolves when they may be received, and never
 * rejects. A download calls it with 0 before its first byte, and receives one chunk at a time.
 */
export function receive({ bucket, state }: Allowance, bytes: number): Promise<void> | undefined {
  if (Atomics.load(state, lifted) === 1n) return undefined;
  const ahead = add(state, reserved, -bytes);
  const rest = Math.max(0, add(state, toCome, -bytes));
  if (ahead > 0 || (ahead === 0 && rest === 0)) return undefined;
  const step = Math.max(leastStep, (bucket.bytesPerSecond * stepMs) / 1000);
  const more = Math.ceil(Math.min(step, rest)) - ahead;
  add(state, reserved, more);
  // What came unreserved must have had its time, too.
  const waitMs = reserve(bucket, more) + (-ahead / bucket.bytesPerSecond) * 1000;
  if (waitMs <= 0) return undefined;
  const wait = Atomics.waitAsync(state, lifted, 0n, waitMs);
  return wait.async ? endOf(wait.value) : undefined;
}

/** As `receive`, from all of them: each byte counts in each. */
export function receiveEach(allowances: readonly Allowance[], bytes: number): Promise<void> | undefined {
  const waits = allowances.flatMap(allowance => receive(allowance, bytes) ?? []);
  return waits.length === 0 ? undefined : allOf(waits);
}

async function allOf(waits: readonly Promise<void>[]): Promise<void> {
  await Promise.all(waits);
}

async function endOf(wait: Promise<unknown>): Promise<void> {
  await wait;
}

/** Returns in how many milliseconds the time of these bytes begins. */
function reserve({ bytesPerSecond, freeAt }: TokenBucket, bytes: number): number {
  const time = BigInt(Math.ceil((bytes / bytesPerSecond) * 1e9));
  for (;;) {
    const now = process.hrtime.bigint();
    const before = Atomics.load(freeAt, 0);
    const beginsAt = before > now ? before : now;
    if (Atomics.compareExchange(freeAt, 0, before, beginsAt + time) === before)
      return Number(beginsAt - now) / 1e6;
  }
}

function add(state: BigInt64Array, index: number, bytes: number): number {
  return Number(Atomics.add(state, index, BigInt(bytes))) + bytes;
}

function shared(length: number): BigInt64Array {
  return new BigInt64Array(new SharedArrayBuffer(length * BigInt64Array.BYTES_PER_ELEMENT));
}
