import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack, type Pack } from 'tar-stream';
import { readIndexMember } from './tar-index.ts';
import { ArtifactError, errnoOf, toArtifactError } from '../util/error.ts';

const chunk = 1 << 20;
/** Bytes of a header of a tar, and what bodies are padded to. */
const block = 512;

/** `bytes` is what it will have; undefined where that is not known before its end. */
export type Layout = { readonly tar: AsyncIterable<Uint8Array>; readonly bytes: number | undefined };

/**
 * An OCI image layout as a tar stream: `-` is the input, a folder is packed while it is read, a file is taken as a
 * tar, and its index.json is sent before it.
 * @throws ArtifactError `invalid` when the path is neither.
 */
export async function readLayout(path: string, stdin: Readable, signal: AbortSignal): Promise<Layout> {
  if (path === '-') return { tar: stdin, bytes: undefined };
  try {
    const stats = await stat(path);
    if (stats.isFile()) {
      await using file = await open(path);
      const index = (await readIndexMember(file)) ?? Buffer.alloc(0);
      return { tar: sendFirst(index, openFile(path)), bytes: index.length + stats.size };
    }
    if (!stats.isDirectory()) return { tar: openFile(path), bytes: undefined };
    const files = await listFiles(path);
    const tar = pack({ highWaterMark: chunk });
    // A failure ends the tar, and so reaches whoever reads it.
    packFiles(files, tar, signal).catch((error: Error) => tar.destroy(error));
    const bytes = files.reduce((sum, { size }) => sum + block + Math.ceil(size / block) * block, 2 * block);
    return { tar: tar as AsyncIterable<Uint8Array>, bytes };
  } catch (error) {
    const why =
      errnoOf(error) === 'ENOENT'
        ? 'no OCI image layout is there: that is a folder with index.json, or its tar'
        : toArtifactError(error).message;
    throw new ArtifactError('invalid', `${path}: ${why}`, error);
  }
}

const openFile = (path: string): Readable => createReadStream(path, { highWaterMark: chunk });

async function* sendFirst(start: Uint8Array, rest: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  if (start.length > 0) yield start;
  yield* rest;
}

type File = { readonly path: string; readonly name: string; readonly size: number };

/** Names first, then blobs, each sorted: the same folder gives the same tar. */
async function listFiles(root: string): Promise<readonly File[]> {
  const names = ['oci-layout', 'index.json'];
  for (const algorithm of (await readdir(join(root, 'blobs'))).toSorted()) {
    const blobs = await readdir(join(root, 'blobs', algorithm));
    names.push(...blobs.toSorted().map(blob => join('blobs', algorithm, blob)));
  }
  const files: File[] = [];
  for (const name of names) {
    const path = join(root, name);
    files.push({ path, name, size: (await stat(path)).size });
  }
  return files;
}

async function packFiles(files: readonly File[], tar: Pack, signal: AbortSignal): Promise<void> {
  for (const { path, name, size } of files) {
    const entry = tar.entry({ name, size });
    await pipeline(openFile(path), entry, { signal });
  }
  tar.finalize();
}
