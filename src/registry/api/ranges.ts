import { hexOf } from '../../oci/digest.ts';
import { doAll } from '../../util/abortable.ts';
import { ArtifactError } from '../../util/error.ts';
import { createFileState, type GrowingFile, type Holes, sizeOf } from '../../util/growing-file.ts';
import { openLru } from '../../util/memo.ts';
import { sleep } from '../../util/sleep.ts';
import { isSpent } from '../../util/token-bucket.ts';
import type { Downloads } from '../download/downloads.ts';
import { cancelled } from '../http/connection-error.ts';
import { isEndpointError } from '../http/endpoint-error.ts';
import type { RetryPolicy } from '../http/retry.ts';
import { transfer } from './blob.ts';
import type { Exchange } from './exchange.ts';
import { type FilePart, type FileTransfer, fetchFilePart, type PartSource } from './file-part.ts';
import { type RangeRules, watchGain, watchSlow } from './range-rate.ts';

/** A file that takes its parts in any order. */
type RandomFile = GrowingFile & Required<Pick<GrowingFile, 'openHoles'>>;

function isRandom(file: GrowingFile | undefined): file is RandomFile {
  return file?.openHoles !== undefined;
}

/** As `transfer`. */
export type RangeTransfer = (blob: FileTransfer, policy: RetryPolicy, signal: AbortSignal) => Promise<void>;

/**
 * Transfers blobs as `transfer` does, and a large one by several connections if one is slow: registries and storage
 * limit each connection. Whatever fails there, one connection continues where the bytes have no hole, and the host is
 * not asked for ranges for a while; so it is if they bring nothing, or wrong bytes. One blob at a time is asked for in
 * ranges, because several blobs have several connections.
 */
export function createRangeTransfer(
  world: { readonly exchange: Exchange; readonly downloads: Downloads },
  rules: RangeRules,
): RangeTransfer {
  const { exchange } = world;
  const hosts = openLru<{ restsUntil: number }>();
  let isBusy = false;

  return async (blob, policy, signal) => {
    const { sink, descriptor, upstream, transport, bucket } = blob;
    const { file, allowance } = sink;
    const host = hosts.take(upstream.host, () => ({ restsUntil: 0 }));
    const mayTry = !isBusy && allowance === undefined && performance.now() >= host.restsUntil;
    if (!mayTry || !isRandom(file)) return await transfer(exchange, blob, policy, signal);
    const rest = (): void => {
      host.restsUntil = performance.now() + rules.restMs;
    };
    const slow = new AbortController();
    let rate = 0;
    const onSlow = (found: number): void => {
      if (isBusy || (bucket !== undefined && isSpent(bucket))) return;
      isBusy = true;
      rate = found;
      slow.abort();
    };
    try {
      using look = watchSlow(file.state, descriptor.size, rules, onSlow);
      try {
        return await transfer(exchange, blob, policy, AbortSignal.any([signal, slow.signal]));
      } catch (thrown) {
        if (!slow.signal.aborted || signal.aborted) throw thrown;
      }
      look[Symbol.dispose]();
      using holes = openHoles(file);
      if (!(await fetchRanges({ ...world, blob, file, holes, rate, rules }, signal))) rest();
    } finally {
      if (slow.signal.aborted) isBusy = false;
    }
    await transfer(exchange, blob, policy, signal);
    const hex = await transport.hash(signal);
    if (hex === undefined) return;
    if (hex === hexOf(descriptor.digest)) return file.hashed?.(hex);
    rest();
    sink.restart();
    await transfer(exchange, blob, policy, signal);
  };
}

function openHoles(file: RandomFile): Holes {
  try {
    return file.openHoles();
  } catch (thrown) {
    throw file.failed(thrown);
  }
}

type Work = Omit<PartSource, 'failed'> & {
  readonly holes: Holes;
  /** What one connection brought, in bytes per second. */
  readonly rate: number;
  readonly rules: RangeRules;
};

/** How often what has come is passed on, ms. */
const stepMs = 10;
const noGain = new ArtifactError('unavailable', 'several connections are not faster than one');

/**
 * Fetches the rest of a blob in ranges. False if an endpoint failed or it was of no use; what has come without a hole
 * stays. @throws other failures: of the disk, and the signal's.
 */
async function fetchRanges(work: Work, signal: AbortSignal): Promise<boolean> {
  const { blob, file, holes, rate, rules } = work;
  const [least, most] = rules.rangeBytes;
  const bytes = Math.floor(Math.min(most, Math.max(least, (rate * rules.rangeMs) / 1000)));
  const parts: FilePart[] = [];
  for (let from = sizeOf(file.state); from < blob.descriptor.size; from += bytes)
    parts.push({ from, to: Math.min(from + bytes, blob.descriptor.size), state: createFileState() });

  let first = 0;
  let hashing: Promise<unknown> | undefined;
  const useless = new AbortController();
  const either = AbortSignal.any([signal, useless.signal]);
  const settle = (): void => {
    for (let part = parts[first]; part !== undefined; part = parts[first]) {
      const filled = part.from + sizeOf(part.state);
      if (filled > sizeOf(file.state)) holes.fill(filled);
      if (filled < part.to) break;
      first++;
    }
    file.grown();
    hashing ??= blob.transport.hash(signal).then(
      () => (hashing = undefined),
      () => {},
    );
  };
  let broken: { readonly thrown: unknown } | undefined;
  const failed = (thrown: unknown): Error => {
    broken ??= { thrown };
    return new ArtifactError('internal', 'a part could not be written');
  };
  const bring = async (part: FilePart, signal: AbortSignal): Promise<void> => {
    // No further ahead than the other connections can be: what comes after a hole is not hashed, and lost by a kill.
    while (!signal.aborted && part.from - sizeOf(file.state) > rules.connections * bytes)
      await sleep(stepMs, signal);
    signal.throwIfAborted();
    await fetchFilePart({ ...work, failed }, part, signal);
  };
  const step = (): void => {
    try {
      settle();
    } catch (thrown) {
      useless.abort(failed(thrown));
    }
  };
  const settling = setInterval(step, stepMs);
  try {
    using _gain = watchGain(
      parts.map(({ state }) => state),
      rate,
      rules,
      () => useless.abort(noGain),
    );
    await doAll(parts, rules.connections, bring, either);
    settle();
    return true;
  } catch (thrown) {
    if (signal.aborted) throw cancelled(signal);
    if (broken !== undefined) throw file.failed(broken.thrown);
    if (useless.signal.aborted || isEndpointError(thrown)) return false;
    throw thrown;
  } finally {
    clearInterval(settling);
    if (broken === undefined) step();
    await hashing;
  }
}
