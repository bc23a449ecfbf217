import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack, type Pack } from 'tar-stream';
import { ArtifactError, errnoOf, toArtifactError } from '../util/error.ts';

const chunk = 1 << 20;

/**
 * An OCI image layout as a tar stream: `-` is the input, a folder is packed while it is read, a file is taken as a tar.
 * @throws ArtifactError `invalid` when the path is neither.
 */
export async function readLayout(
  path: string,
  stdin: Readable,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  if (path === '-') return stdin;
  try {
    if (!(await stat(path)).isDirectory()) {
      await using file = await open(path);
      await file.read({ length: 1 });
      return createReadStream(path, { highWaterMark: chunk });
    }
    await stat(join(path, 'index.json'));
  } catch (error) {
    const why =
      errnoOf(error) === 'ENOENT'
        ? 'no OCI image layout is there: that is a folder with index.json, or its tar'
        : toArtifactError(error).message;
    throw new ArtifactError('invalid', `${path}: ${why}`, error);
  }
  const tar = pack({ highWaterMark: chunk });
  // A failure ends the tar, and so reaches whoever reads it.
  packLayout(path, tar, signal).catch((error: Error) => tar.destroy(error));
  return tar as AsyncIterable<Uint8Array>;
}

/** Names first, then blobs, each sorted: the same folder gives the same tar. */
async function packLayout(root: string, tar: Pack, signal: AbortSignal): Promise<void> {
  for (const name of ['oci-layout', 'index.json']) await packFile(root, name, tar, signal);
  for (const algorithm of (await readdir(join(root, 'blobs'))).toSorted()) {
    const blobs = await readdir(join(root, 'blobs', algorithm));
    for (const blob of blobs.toSorted()) await packFile(root, join('blobs', algorithm, blob), tar, signal);
  }
  tar.finalize();
}

async function packFile(root: string, name: string, tar: Pack, signal: AbortSignal): Promise<void> {
  const path = join(root, name);
  const { size } = await stat(path);
  const entry = tar.entry({ name, size });
  await pipeline(createReadStream(path, { highWaterMark: chunk }), entry, { signal });
}
