import type { Credential } from '../../oci/credential.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Sink } from '../../ports/registry.ts';
import { ArtifactError } from '../../util/error.ts';
import { Paused } from '../../util/pause.ts';
import { parseContentRange } from './content-range.ts';
import type { Exchange } from './exchange.ts';
import { describeEncoding, type HttpRequest, passOver, type Receiver } from '../http/request.ts';
import { type RetryPolicy, TransientError } from '../http/retry.ts';
import type { Upstream } from '../config/upstream.ts';
import type { FinalResponse } from '../http/redirect.ts';
import { isOfPlace } from '../http/place-error.ts';

export type Transfer = {
  readonly place: Upstream;
  readonly descriptor: Descriptor;
  readonly sink: Sink;
  readonly credential: Credential;
  readonly subject: string;
  readonly line: HttpRequest['line'];
};

const fromStart: ReadonlySet<number> = new Set([200]);
const fromWithin: ReadonlySet<number> = new Set([200, 206, 416]);

/** Thrown for an answer that does not go on from the sink's offset. */
const noRange = new ArtifactError('unavailable', 'the server does not go on from there');

/**
 * Brings a blob into a sink, going on from `sink.offset`. Each try begins at the registry. One that brought something
 * new is followed by the next at once, with patience renewed.
 *
 * A request for a range that fails is followed at once by a request for the whole, of which what the sink has is passed
 * over: some servers, and stores behind them, answer a range with any error. Where the range failed for a reason that
 * may pass, the whole is asked for once, and then the range again: a short outage must not cost the whole of a large blob.
 *
 * @throws as Exchange, after patience; `corrupt` if the registry sends, or announces, another number of bytes than the
 *   descriptor's.
 */
export async function transfer(
  exchange: Exchange,
  blob: Transfer,
  patience: RetryPolicy,
  signal: AbortSignal,
): Promise<void> {
  const { sink, descriptor } = blob;
  if (sink.offset > descriptor.size) sink.restart();
  let next: 'range' | 'whole-once' | 'whole' = 'range';
  let wholeAskedAt: number | undefined;
  while (sink.offset < descriptor.size) {
    const { offset } = sink;
    const from = next === 'range' ? offset : 0;
    try {
      await attempt(exchange, blob, from, signal);
    } catch (thrown) {
      const isNew = sink.offset > offset;
      if (from > 0 && !isNew && wholeAskedAt !== offset && mayDoWhole(thrown)) {
        next = thrown instanceof TransientError ? 'whole-once' : 'whole';
        wholeAskedAt = offset;
        continue;
      }
      if (!(thrown instanceof TransientError)) throw thrown;
      if (next === 'whole-once') next = 'range';
      if (isNew) {
        patience.renew(thrown);
        continue;
      }
      const message = `${sink.offset} of ${descriptor.size} bytes came, then: ${thrown.message}`;
      await patience.wait(new TransientError(thrown.code, message, thrown, thrown.afterMs), signal);
    }
  }
}

/** Whether a server that failed to send a range may send the whole. One that asks to wait is not asked at once. */
function mayDoWhole(thrown: unknown): boolean {
  const asksToWait = thrown instanceof Paused || (thrown instanceof TransientError && thrown.afterMs > 0);
  return isOfPlace(thrown) && !asksToWait;
}

async function attempt(exchange: Exchange, blob: Transfer, from: number, signal: AbortSignal): Promise<void> {
  const { sink, descriptor } = blob;
  const arrival = await exchange(
    {
      ...blob,
      method: 'GET',
      path: `blobs/${descriptor.digest}`,
      headers: from === 0 ? {} : { range: `bytes=${from}-` },
      wanted: from === 0 ? fromStart : fromWithin,
    },
    here => toReceiver(here, from, blob),
    signal,
  );
  if (sink.offset < descriptor.size) {
    // Who sends a part may send it in parts; who sends less for the whole sends something else.
    const code = arrival.status === 206 ? 'unavailable' : 'corrupt';
    throw new TransientError(code, `${arrival.url.host} ended it as if that were all`);
  }
}

/** Judges the head of an answer against what is in the sink, which goes on from there. */
function toReceiver(
  { status, headers, url }: FinalResponse,
  from: number,
  { sink, descriptor, subject }: Transfer,
): Receiver {
  const { size } = descriptor;
  const length = headers['content-length'];
  if (status === 200) {
    const isWhole = length === undefined || Number(length) === size;
    if (from > 0 && (!isWhole || 'content-range' in headers)) throw noRange;
    if (!isWhole) {
      throw new ArtifactError(
        'corrupt',
        `${subject}: ${url.host} announces ${length} bytes${describeEncoding(headers)}; the descriptor says ${size}`,
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
    if (!fits) throw noRange;
  }
  const past = status === 200 ? sink.offset : 0;
  const write = passOver(past, chunk => {
    if (sink.offset + chunk.length > size) {
      sink.restart();
      throw new ArtifactError(
        'corrupt',
        `${subject}: ${url.host} sends more than the ${size} bytes of its descriptor${describeEncoding(headers)}`,
      );
    }
    sink.write(chunk);
  });
  // Its length was announced above, so that no more than that is poured.
  return length === undefined ? write : Object.assign(write, { file: sink.file, past });
}
