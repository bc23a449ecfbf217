import type { Sink } from '../../ports/registry.ts';
import { ArtifactError } from '../../util/error.ts';
import { beginAllowance, receiveEach } from '../../util/token-bucket.ts';
import type { FinalResponse } from '../http/redirect.ts';
import type { Receiver } from '../http/request.ts';
import { type RetryPolicy, TransientError } from '../http/retry.ts';
import type { Transfer } from './blob.ts';
import { parseContentRange } from './content-range.ts';
import type { Exchange } from './exchange.ts';

/** The bytes `from` to `to` - 1 of a blob. */
export type PartTransfer = Omit<Transfer, 'sink'> & {
  readonly from: number;
  readonly to: number;
  /** Its offset is that in the part. */
  readonly sink: Pick<Sink, 'offset' | 'write' | 'file'>;
};

/** Thrown for a response that is not the wanted range. */
export const noRange: ArtifactError = new ArtifactError(
  'unavailable',
  'the server does not send the range that it was asked for',
);

const wanted: ReadonlySet<number> = new Set([200, 206]);

/**
 * Transfers a part of a blob into a sink, from `sink.offset` on. After an attempt that brought bytes, the policy is
 * renewed.
 *
 * @throws `noRange`; as Exchange, when the retries are used up.
 */
export async function transferPart(
  exchange: Exchange,
  part: PartTransfer,
  policy: RetryPolicy,
  signal: AbortSignal,
): Promise<void> {
  const { sink, from, to, descriptor, bucket } = part;
  while (sink.offset < to - from) {
    const { offset } = sink;
    let began = performance.now();
    let answered = began;
    const headers = { range: `bytes=${from + offset}-${to - 1}` };
    const request = { ...part, method: 'GET', path: `blobs/${descriptor.digest}`, headers, wanted } as const;
    try {
      const allowances =
        bucket === undefined ? [] : [await beginAllowance(bucket, to - from - offset, signal)];
      began = performance.now();
      const accept = (head: FinalResponse): Receiver => {
        answered = performance.now();
        verifyRange(head, from + offset, to, descriptor.size);
        const write = (chunk: Uint8Array): Promise<void> | undefined => {
          if (sink.offset + chunk.length > to - from) throw noRange;
          sink.write(chunk);
          return receiveEach(allowances, chunk.length);
        };
        return Object.assign(write, { file: sink.file, allowances });
      };
      await exchange(request, accept, signal);
      if (sink.offset < to - from) throw new TransientError('unavailable', 'the range ended early');
    } catch (thrown) {
      if (!(thrown instanceof TransientError)) throw thrown;
      const bytes = sink.offset - offset;
      const now = performance.now();
      const gain = {
        bytes,
        received: bytes,
        ms: now - began,
        sentMs: now - answered,
        host: part.upstream.host,
        isHeld: bucket !== undefined,
      };
      if (bytes > 0) await policy.renew(thrown, gain, signal);
      else await policy.wait(thrown, signal);
    }
  }
}

/** @throws unless the response is exactly the wanted range. */
function verifyRange({ status, headers }: FinalResponse, from: number, to: number, size: number): void {
  const range = status === 206 ? parseContentRange(headers['content-range']) : undefined;
  const isIt = range?.first === from && range.last === to - 1 && (range.total ?? size) === size;
  if (!isIt || Number(headers['content-length']) !== to - from) throw noRange;
}
