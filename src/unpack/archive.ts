import { Readable } from 'node:stream';
import { extract } from 'tar-stream';
import { ArtifactError } from '../util/error.ts';
import { inflate } from './inflation.ts';

/** A regular file of a tar; its content must be read before the next is asked for. `size` is in bytes. */
export type ArchiveEntry = {
  readonly path: string;
  readonly size: number;
  readonly content: AsyncIterable<Uint8Array>;
};

/**
 * The regular files of a tar, as it streams by; all else in it is passed over. It may be compressed with gzip or zstd.
 *
 * @throws ArtifactError `invalid` for what is not a tar, also from an entry's content.
 */
export async function* readArchive(
  tar: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncIterable<ArchiveEntry> {
  const entries = extract();
  const source = Readable.from(inflate(tar), { objectMode: false });
  source.on('error', error => entries.destroy(error));
  source.pipe(entries);
  const abort = (): void =>
    entries.destroy(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
  signal.addEventListener('abort', abort, { once: true });
  try {
    for await (const entry of guarded(entries, signal)) {
      const { type, name, size } = entry.header;
      if (type === 'file') yield { path: name, size: size ?? 0, content: toBytes(guarded(entry, signal)) };
      entry.resume();
    }
  } finally {
    signal.removeEventListener('abort', abort);
    source.destroy();
    entries.destroy();
  }
}

/** The same, with the errors of tar-stream told to people. */
async function* guarded<T>(items: AsyncIterable<T>, signal: AbortSignal): AsyncIterable<T> {
  try {
    yield* items;
  } catch (thrown) {
    signal.throwIfAborted();
    if (thrown instanceof ArtifactError) throw thrown;
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new ArtifactError('invalid', `the archive is not a tar, or not all of one: ${why}`, thrown);
  }
}

/** tar-stream's entries give buffers, which its types do not say. */
async function* toBytes(chunks: AsyncIterable<unknown>): AsyncIterable<Uint8Array> {
  for await (const chunk of chunks) if (chunk instanceof Uint8Array) yield chunk;
}
