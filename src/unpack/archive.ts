import { Readable } from 'node:stream';
import { extract } from 'tar-stream';
import { ArtifactError } from '../util/error.ts';

/** A regular file of a tar; its content must be read before the next is asked for. `size` is in bytes. */
export type ArchiveEntry = { readonly path: string; readonly size: number; readonly content: AsyncIterable<Uint8Array> };

/**
 * The regular files of an uncompressed tar, as it streams by; all else in it is passed over.
 *
 * @throws ArtifactError `invalid` for what is not a tar.
 */
export async function* readArchive(tar: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<ArchiveEntry> {
  const entries = extract();
  const source = Readable.from(tar, { objectMode: false });
  source.on('error', error => entries.destroy(error));
  source.pipe(entries);
  const abort = (): void => entries.destroy(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
  signal.addEventListener('abort', abort, { once: true });
  try {
    for await (const entry of entries) {
      if (entry.header.type === 'file') yield { path: entry.header.name, size: entry.header.size ?? 0, content: entry };
      entry.resume();
    }
  } catch (thrown) {
    signal.throwIfAborted();
    if (thrown instanceof ArtifactError) throw thrown;
    throw new ArtifactError('invalid', `the archive is not an uncompressed tar: ${thrown instanceof Error ? thrown.message : String(thrown)}`, thrown);
  } finally {
    signal.removeEventListener('abort', abort);
    source.destroy();
    entries.destroy();
  }
}
