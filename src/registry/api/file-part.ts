import { type FileState, type GrowingFile, setSize, sizeOf } from '../../util/growing-file.ts';
import { writeAll } from '../../util/regular-file.ts';
import type { Download, Downloads } from '../download/downloads.ts';
import { startRangeRetries } from '../http/retry.ts';
import type { Transfer } from './blob.ts';
import type { Exchange } from './exchange.ts';
import { type PartTransfer, transferPart } from './part.ts';

/** A transfer whose bytes go into a file by the threads that download. */
export type FileTransfer = Omit<Transfer, 'transport'> & { readonly transport: Download };

/** A part of the file, whose own bytes come in order. */
export type FilePart = { readonly from: number; readonly to: number; readonly state: FileState };

export type PartSource = {
  readonly exchange: Exchange;
  readonly downloads: Downloads;
  readonly blob: FileTransfer;
  readonly file: GrowingFile;
  /** Converts a write error, which the owner of the file gets when all parts have ended. */
  readonly failed: (thrown: unknown) => Error;
};

/** Fetches one part into its place in the file. */
export async function fetchFilePart(
  { exchange, downloads, blob, file, failed }: PartSource,
  { from, to, state }: FilePart,
  signal: AbortSignal,
): Promise<void> {
  const own: GrowingFile = { ...file, base: from, state, grown() {}, failed };
  const { hashed: _, holes: __, ...into } = own;
  const sink: PartTransfer['sink'] = {
    file: into,
    get offset() {
      return sizeOf(state);
    },
    write(chunk) {
      const at = from + sizeOf(state);
      try {
        writeAll(file.fd, chunk, at);
      } catch (thrown) {
        throw failed(thrown);
      }
      setSize(state, sizeOf(state) + chunk.length);
    },
  };
  await using transport = downloads.open(into, to - from);
  await transferPart(exchange, { ...blob, transport, sink, from, to }, startRangeRetries(), signal);
}
