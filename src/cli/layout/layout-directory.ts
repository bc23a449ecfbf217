import { fstatSync } from 'node:fs';
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { type Pack, pack } from 'tar-stream';
import { type OpenDirectory, openDirectory, openWithin } from '../../linux/directory.ts';
import { ArtifactError, errnoOf } from '../../util/error.ts';
import { describeKind } from './file-kind.ts';
import { chunk, type Layout } from './layout-stream.ts';

/** Bytes of a tar header; content is padded to a multiple of it. */
const block = 512;

/**
 * Packs an image layout while it is read: names first, then blobs, each sorted, so that the same directory gives the
 * same tar. Opens only regular files in the directory.
 *
 * @throws ArtifactError `invalid` naming what is missing, is no regular file, or is a symlink that leaves the layout.
 */
export async function packDirectory(path: string, signal: AbortSignal): Promise<Layout> {
  using stack = new DisposableStack();
  const root = stack.use(openDirectory(path));
  const files = await listFiles(root);
  const tar = pack({ highWaterMark: chunk });
  stack.defer(() => tar.destroy());
  // A failure ends the tar, and so reaches its reader.
  packFiles(root, files, tar, signal).catch((error: Error) => tar.destroy(error));
  const bytes = files.reduce((sum, { size }) => sum + block + Math.ceil(size / block) * block, 2 * block);
  const opened = stack.move();
  return { tar: tar as AsyncIterable<Uint8Array>, bytes, [Symbol.dispose]: () => opened.dispose() };
}

type File = { readonly name: string; readonly size: number };

async function listFiles(root: OpenDirectory): Promise<readonly File[]> {
  const names = ['oci-layout', 'index.json'];
  for (const algorithm of await listDirectory(root, 'blobs')) {
    const directory = `blobs/${algorithm}`;
    names.push(...(await listDirectory(root, directory)).map(blob => `${directory}/${blob}`));
  }
  return names.map(name => {
    using below = openBelow(root, name);
    return { name, size: sizeOf(below, name) };
  });
}

async function listDirectory(root: OpenDirectory, name: string): Promise<readonly string[]> {
  using below = openBelow(root, name);
  const stats = fstatSync(below.fd);
  if (!stats.isDirectory())
    throw new ArtifactError('invalid', `${name} is ${describeKind(stats)} and must be a directory`);
  return (await readdir(throughDescriptor(below))).toSorted();
}

async function packFiles(
  root: OpenDirectory,
  files: readonly File[],
  tar: Pack,
  signal: AbortSignal,
): Promise<void> {
  for (const file of files) {
    await using handle = await openFile(root, file);
    const entry = tar.entry(file);
    await pipeline(handle.createReadStream({ highWaterMark: chunk, autoClose: false }), entry, { signal });
  }
  tar.finalize();
}

async function openFile(root: OpenDirectory, { name, size }: File): Promise<FileHandle> {
  using below = openBelow(root, name);
  if (sizeOf(below, name) === size) return await open(throughDescriptor(below));
  throw new ArtifactError('invalid', `${name} has changed while the layout was read; load it again`);
}

function sizeOf(below: OpenDirectory, name: string): number {
  const stats = fstatSync(below.fd);
  if (stats.isFile()) return stats.size;
  throw new ArtifactError('invalid', `${name} is ${describeKind(stats)} and must be a regular file`);
}

/** @throws ArtifactError `invalid` if the directory has nothing of a layout. */
function openBelow(root: OpenDirectory, name: string): OpenDirectory {
  try {
    return openWithin(root, name);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT') {
      const what = `it has no ${name}, so it is not a whole OCI image layout`;
      throw new ArtifactError('invalid', `${what}; write it again, or correct the path`, error);
    }
    if (errno !== 'EXDEV') throw error;
    const why = `${name} is a symlink that leaves the layout, or is below one`;
    throw new ArtifactError('invalid', `${why}; copy what it points to into the layout`, error);
  }
}

/** A path that opens the descriptor's directory, even if its name has changed. */
function throughDescriptor({ fd }: OpenDirectory): string {
  return `/proc/self/fd/${fd}`;
}
