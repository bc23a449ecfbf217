import type { Credential } from '../../oci/credential.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Sink } from '../../ports/registry.ts';
import { ArtifactError } from '../../util/error.ts';
import { Paused } from '../../util/pause.ts';
import { formatSize } from '../../util/size.ts';
import { type Allowance, beginAllowance, receiveEach, type TokenBucket } from '../../util/token-bucket.ts';
import type { Upstream } from '../config/route.ts';
import { isEndpointError } from '../http/endpoint-error.ts';
import type { FinalResponse } from '../http/redirect.ts';
import { describeEncoding, type HttpRequest, type Receiver, skip } from '../http/request.ts';
import { type RetryPolicy, SizeError, TransientError } from '../http/retry.ts';
import { parseContentRange } from './content-range.ts';
import type { ApiRequest, Exchange } from './exchange.ts';

/** `bucket`: bounds the rate of all that comes from there. */
export type Transfer = {
  readonly upstream: Upstream;
  readonly bucket: TokenBucket | undefined;
  readonly descriptor: Descriptor;
  readonly sink: Sink;
  readonly credential: Credential;
  readonly subject: string;
  readonly transport: HttpRequest['transport'];
};

const fromStart: ReadonlySet<number> = new Set([200]);
const fromWithin: ReadonlySet<number> = new Set([200, 206, 416]);

/** Thrown for a response that does not continue at the sink's offset. */
const notFromThere = new ArtifactError('unavailable', 'the server does not go on from there');

/**
 * Downloads a blob into a sink, from `sink.offset` on. Each attempt begins at the registry. After an attempt that
 * brought new bytes, the retry policy is renewed.
 *
 * If a request for a range fails, the whole blob is requested at once, and the bytes that the sink has are skipped:
 * some servers, and storage behind them, answer a range with any error. If the range failed for a transient reason, the
 * whole is requested once, and then the range again: a short outage must not cost the whole of a large blob.
 *
 * @throws as Exchange, when the retries are used up; `corrupt` if the registry sends, or announces, a number of bytes
 *   other than the descriptor's.
 */
export async function transfer(
  exchange: Exchange,
  blob: Transfer,
  policy: RetryPolicy,
  signal: AbortSignal,
): Promise<void> {
  const { sink, descriptor, bucket } = blob;
  closeHoles(sink);
  if (sink.offset > descriptor.size) sink.restart();
  let next: 'range' | 'whole-once' | 'whole' = 'range';
  let wholeAskedAt: number | undefined;
  while (sink.offset < descriptor.size) {
    const { offset } = sink;
    let began = performance.now();
    let answered = began;
    let isWhole = false;
    const from = next === 'range' ? offset : 0;
    try {
      const left = descriptor.size - from;
      const bounds = bucket === undefined ? [] : [await beginAllowance(bucket, left, signal)];
      const accept = (here: FinalResponse): Receiver => {
        answered = performance.now();
        isWhole = here.status === 200;
        return toReceiver(here, from, blob, bounds);
      };
      began = performance.now();
      const arrival = await exchange(toRequest(blob, from), accept, signal);
      // A server may answer a range with a shorter range. A whole that is shorter is different content.
      if (sink.offset < descriptor.size) {
        const message = `${arrival.url.host} ended it as if that were all`;
        if (arrival.status === 206) throw new TransientError('unavailable', message);
        throw new TransientError('corrupt', message, new SizeError(message));
      }
    } catch (thrown) {
      const isNew = sink.offset > offset;
      if (from > 0 && !isNew && wholeAskedAt !== offset && mayDoWhole(thrown)) {
        next = thrown instanceof TransientError ? 'whole-once' : 'whole';
        wholeAskedAt = offset;
        continue;
      }
      if (!(thrown instanceof TransientError)) throw thrown;
      if (next === 'whole-once') next = 'range';
      const message = `${formatSize(sink.offset)} of ${formatSize(descriptor.size)} came, then: ${thrown.message}`;
      const failure = new TransientError(thrown.code, message, thrown, thrown.afterMs);
      const gain = {
        bytes: sink.offset - offset,
        received: isWhole ? sink.offset : sink.offset - offset,
        ms: performance.now() - began,
        sentMs: performance.now() - answered,
        host: blob.upstream.host,
        isHeld: bucket !== undefined || sink.allowance !== undefined,
      };
      if (isNew) await policy.renew(failure, gain, signal);
      else await policy.wait(failure, signal);
    }
  }
}

/** What comes now has no hole. */
function closeHoles({ file }: Sink): void {
  if (file?.holes === undefined) return;
  try {
    file.holes.close();
  } catch (thrown) {
    throw file.failed(thrown);
  }
}

/**
 * Whether a server that failed to send a range may send the whole. A server that asks for a wait is not asked at once.
 */
function mayDoWhole(thrown: unknown): boolean {
  const asksToWait = thrown instanceof Paused || (thrown instanceof TransientError && thrown.afterMs > 0);
  return isEndpointError(thrown) && !asksToWait;
}

function toRequest(blob: Transfer, from: number): ApiRequest {
  return {
    ...blob,
    method: 'GET',
    path: `blobs/${blob.descriptor.digest}`,
    headers: from === 0 ? {} : { range: `bytes=${from}-` },
    wanted: from === 0 ? fromStart : fromWithin,
  };
}

/** Compares the head of a response with the state of the sink, and continues the sink there. */
function toReceiver(
  { status, headers, url }: FinalResponse,
  from: number,
  { sink, descriptor, subject }: Transfer,
  bounds: readonly Allowance[],
): Receiver {
  const { size } = descriptor;
  const length = headers['content-length'];
  if (status === 200) {
    const isWhole = length === undefined || Number(length) === size;
    if (from > 0 && (!isWhole || 'content-range' in headers)) throw notFromThere;
    if (!isWhole) {
      throw new SizeError(
        `${subject}: ${url.host} announces ${length} bytes${describeEncoding(headers)}, and the descriptor says ${size}; check their source`,
      );
    }
  } else {
    const range = status === 206 ? parseContentRange(headers['content-range']) : undefined;
    const fits =
      range !== undefined &&
      range.first === sink.offset &&
      range.last < size &&
      (range.total ?? size) === size &&
      Number(length ?? range.last - range.first + 1) === range.last - range.first + 1;
    if (!fits) throw notFromThere;
  }
  const past = status === 200 ? sink.offset : 0;
  const store = skip(past, chunk => {
    if (sink.offset + chunk.length > size) {
      sink.restart();
      throw new SizeError(
        `${subject}: ${url.host} sends more than the ${size} bytes of its descriptor${describeEncoding(headers)}; check their source`,
      );
    }
    sink.write(chunk);
  });
  const { file, allowance } = sink;
  const allowances = allowance === undefined ? bounds : [allowance, ...bounds];
  const isBounded = allowances.length > 0;
  const write = (chunk: Uint8Array): Promise<void> | undefined => {
    store(chunk);
    return isBounded ? receiveEach(allowances, chunk.length) : undefined;
  };
  // The length was announced above, so no more than that arrives.
  return length === undefined ? write : Object.assign(write, { file, past, allowances });
}
