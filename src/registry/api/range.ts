import { writeSync } from 'node:fs';
import type { Sink } from '../../ports/registry.ts';
import { ArtifactError } from '../../util/error.ts';
import { type FileState, type GrowingFile, setSize, sizeOf } from '../../util/growing-file.ts';
import { beginAllowance, receiveEach } from '../../util/token-bucket.ts';
import type { Download, Downloads } from '../download/downloads.ts';
import type { FinalResponse } from '../http/redirect.ts';
import type { Receiver } from '../http/request.ts';
import { TransientError } from '../http/retry.ts';
import type { Transfer } from './blob.ts';
import { parseContentRange } from './content-range.ts';
import type { Exchange } from './exchange.ts';

/** A transfer whose bytes go into a file by the threads that download. */
export type FileTransfer = Omit<Transfer, 'transport'> & { readonly transport: Download };

/** A part of the file, whose own bytes come in order. */
export type BlobPart = { readonly from: number; readonly to: number; readonly state: FileState };

export type PartSource = {
  readonly exchange: Exchange;
  readonly downloads: Downloads;
  readonly blob: FileTransfer;
  readonly file: GrowingFile;
  /** Converts a write error, which the owner of the file gets when all parts have ended. */
  readonly failed: (thrown: unknown) => Error;
};

const partial: ReadonlySet<number> = new Set([206]);
const noRange = new ArtifactError('unavailable', 'the server does not send the range that it was asked for');

/** Fetches one range into its place in the file. An attempt that brought bytes is followed by another. */
export async function fetchPart(
  { exchange, downloads, blob, file, failed }: PartSource,
  { from, to, state }: BlobPart,
  signal: AbortSignal,
): Promise<void> {
  const { descriptor, bucket } = blob;
  const own: GrowingFile = { ...file, base: from, state, grown() {}, failed };
  const { hashed: _, openHoles: __, ...into } = own;
  const sink: Pick<Sink, 'offset' | 'write'> = {
    get offset() {
      return sizeOf(state);
    },
    write(chunk) {
      const at = from + sizeOf(state);
      try {
        for (let done = 0; done < chunk.length; )
          done += writeSync(file.fd, chunk, done, chunk.length - done, at + done);
      } catch (thrown) {
        throw failed(thrown);
      }
      setSize(state, sizeOf(state) + chunk.length);
    },
  };
  await using transport = downloads.open(into, to - from);
  while (sink.offset < to - from) {
    const { offset } = sink;
    const request = {
      ...blob,
      transport,
      method: 'GET',
      path: `blobs/${descriptor.digest}`,
      headers: { range: `bytes=${from + offset}-${to - 1}` },
      wanted: partial,
    } as const;
    try {
      const left = to - from - offset;
      const allowances = bucket === undefined ? [] : [await beginAllowance(bucket, left, signal)];
      const accept = (head: FinalResponse): Receiver => {
        verifyRange(head, from + offset, to, descriptor.size);
        const write = (chunk: Uint8Array): Promise<void> | undefined => {
          if (sink.offset + chunk.length > to - from) throw noRange;
          sink.write(chunk);
          return receiveEach(allowances, chunk.length);
        };
        return Object.assign(write, { file: into, allowances });
      };
      await exchange(request, accept, signal);
      if (sink.offset < to - from) throw new TransientError('unavailable', 'the range ended early');
    } catch (thrown) {
      if (!(thrown instanceof TransientError) || sink.offset === offset) throw thrown;
    }
  }
}

/** @throws unless the response is exactly the wanted range. */
function verifyRange({ headers }: FinalResponse, from: number, to: number, size: number): void {
  const range = parseContentRange(headers['content-range']);
  const isIt = range?.first === from && range.last === to - 1 && (range.total ?? size) === size;
  if (!isIt || Number(headers['content-length']) !== to - from) throw noRange;
}
