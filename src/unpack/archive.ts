import { Readable } from 'node:stream';
import { extract } from 'tar-stream';
import type { ArchiveEntry } from '../ports/unpacker.ts';
import { ArtifactError } from '../util/error.ts';
import { quoteName } from '../util/name.ts';
import { inflate } from './inflation.ts';

/**
 * Yields the entries of a tar as it streams. It may be compressed with gzip or zstd.
 *
 * @throws ArtifactError `invalid` if it is not a tar, also while an entry's content is read.
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
      if (type === 'file')
        yield { kind: 'file', path: name, size: size ?? 0, content: toBytes(guarded(entry, signal)) };
      else if (type !== 'directory')
        yield { kind: 'other', path: name, what: describe(type, entry.header.linkname) };
      entry.resume();
    }
  } finally {
    signal.removeEventListener('abort', abort);
    source.destroy();
    entries.destroy();
  }
}

function describe(type: string | null | undefined, target: string | null | undefined): string {
  if (type === 'link') return `a hard link to ${quoteName(target ?? '')}`;
  if (type === 'symlink') return `a symlink to ${quoteName(target ?? '')}`;
  return `a ${(type ?? 'thing of no type').replace('-', ' ')}`;
}

/** The same, with the errors of tar-stream reworded. */
async function* guarded<T>(items: AsyncIterable<T>, signal: AbortSignal): AsyncIterable<T> {
  try {
    yield* items;
  } catch (thrown) {
    signal.throwIfAborted();
    if (thrown instanceof ArtifactError) throw thrown;
    // Its advice to gunzip does not apply: gzip and zstd are recognized before.
    const why = (thrown instanceof Error ? thrown.message : String(thrown)).replace(
      /\. Maybe the tar .*$/,
      '',
    );
    throw new ArtifactError('invalid', `the archive is not a tar, or is incomplete: ${why}`, thrown);
  }
}

/** tar-stream's entries yield buffers, which its types do not declare. */
async function* toBytes(chunks: AsyncIterable<unknown>): AsyncIterable<Uint8Array> {
  for await (const chunk of chunks) if (chunk instanceof Uint8Array) yield chunk;
}
