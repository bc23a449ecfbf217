import { hexOf } from '../../oci/digest.ts';
import { doAll } from '../../util/abortable.ts';
import { ArtifactError } from '../../util/error.ts';
import { createFileState, type Extent, type GrowingFile, setSize, sizeOf } from '../../util/growing-file.ts';
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
type RandomFile = GrowingFile & Required<Pick<GrowingFile, 'holes'>>;

function isRandom(file: GrowingFile | undefined): file is RandomFile {
  return file?.holes !== undefined;
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
    const bringRanges = async (rate: number): Promise<void> => {
      isBusy = true;
      try {
        if (!(await fetchRanges({ ...world, blob, file, rate, rules }, signal))) rest();
      } finally {
        isBusy = false;
      }
    };
    /** Returns the rate of one connection if that is slow; undefined if it brought everything. */
    const transferUntilSlow = async (): Promise<number | undefined> => {
      const slow = new AbortController();
      let rate: number | undefined;
      const onSlow = (found: number): void => {
        if (isBusy || (bucket !== undefined && isSpent(bucket))) return;
        isBusy = true;
        rate = found;
        slow.abort();
      };
      using _look = watchSlow(file.state, descriptor.size, rules, onSlow);
      try {
        await transfer(exchange, blob, policy, AbortSignal.any([signal, slow.signal]));
        return undefined;
      } catch (thrown) {
        if (rate === undefined || signal.aborted) throw thrown;
        return rate;
      } finally {
        if (rate !== undefined) isBusy = false;
      }
    };

    if (file.holes.extents.length > 0) await bringRanges(0);
    const rate = await transferUntilSlow();
    if (rate === undefined) return;
    await bringRanges(rate);
    await transfer(exchange, blob, policy, signal);
    const hex = await transport.hash(signal);
    if (hex === undefined) return;
    if (hex === hexOf(descriptor.digest)) return file.hashed?.(hex);
    rest();
    sink.restart();
    await transfer(exchange, blob, policy, signal);
  };
}

type Work = Omit<PartSource, 'failed' | 'file'> & {
  readonly file: RandomFile;
  /** What one connection brought, in bytes per second; 0 if that is not known. */
  readonly rate: number;
  readonly rules: RangeRules;
};

/** How often what has come is passed on, ms. */
const stepMs = 10;
const noGain = new ArtifactError('unavailable', 'several connections are not faster than one');

/**
 * Fetches the rest of a blob in ranges; if the file has extents after its first hole, what lacks up to the last one.
 * False if an endpoint failed or it was of no use. What has come stays. @throws other failures: of the disk, and the
 * signal's.
 */
async function fetchRanges(work: Work, signal: AbortSignal): Promise<boolean> {
  const { blob, file, rate, rules } = work;
  const { holes } = file;
  const [least, most] = rules.rangeBytes;
  const bytes = Math.floor(Math.min(most, Math.max(least, (rate * rules.rangeMs) / 1000)));
  const parts = cutParts(sizeOf(file.state), blob.descriptor.size, bytes, holes.extents);

  let first = 0;
  /** The parts of which bytes may be there. */
  const begun = new Set(parts.filter(isComplete));
  let hashing: Promise<unknown> | undefined;
  const useless = new AbortController();
  const either = AbortSignal.any([signal, useless.signal]);
  const settle = (): void => {
    let filled = sizeOf(file.state);
    for (let part = parts[first]; part !== undefined; part = parts[first]) {
      filled = part.from + sizeOf(part.state);
      if (!isComplete(part)) break;
      begun.delete(part);
      first++;
    }
    const extents = joinParts([...begun].filter(part => part !== parts[first]));
    if (filled > sizeOf(file.state) || bytesOf(extents) !== bytesOf(holes.extents))
      holes.fill(filled, extents);
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
    if (isComplete(part)) return;
    // No further ahead than the other connections can be: what comes after a hole is not hashed yet.
    while (!signal.aborted && part.from - sizeOf(file.state) > rules.connections * bytes)
      await sleep(stepMs, signal);
    signal.throwIfAborted();
    begun.add(part);
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

/**
 * Cuts what lacks from a byte on into parts of at most so many bytes, up to the last extent, or to the end if there is
 * none. Each extent is a complete part.
 */
function cutParts(
  start: number,
  end: number,
  bytes: number,
  extents: readonly Extent[],
): readonly FilePart[] {
  const parts: FilePart[] = [];
  let at = start;
  for (const { from, to } of extents.length > 0 ? extents : [{ from: end, to: end }]) {
    for (; at < from; at = Math.min(at + bytes, from))
      parts.push({ from: at, to: Math.min(at + bytes, from), state: createFileState() });
    const state = createFileState();
    setSize(state, to - from);
    parts.push({ from, to, state });
    at = to;
  }
  return parts;
}

function isComplete({ from, to, state }: FilePart): boolean {
  return sizeOf(state) === to - from;
}

/** Returns the bytes of parts as extents, in order. */
function joinParts(parts: readonly FilePart[]): readonly Extent[] {
  const extents: Extent[] = [];
  for (const { from, state } of parts.toSorted((a, b) => a.from - b.from)) {
    const to = from + sizeOf(state);
    const last = extents.at(-1);
    if (last?.to === from) extents[extents.length - 1] = { from: last.from, to };
    else if (to > from) extents.push({ from, to });
  }
  return extents;
}

function bytesOf(extents: readonly Extent[]): number {
  return extents.reduce((sum, { from, to }) => sum + to - from, 0);
}
