import { createHash } from 'node:crypto';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import type { Digest } from '../../oci/digest.ts';
import { ArtifactError, errnoOf } from '../../util/error.ts';
import { formatSize } from '../../util/size.ts';
import type { PushedArtifact } from './artifact.ts';

/** @throws if the observed value differs. */
export function expect<T>(seen: T, wanted: unknown): T {
  if (seen === wanted) return seen;
  throw new ArtifactError(
    'internal',
    `the demo saw ${String(seen)} where ${String(wanted)} was right; report this as a bug`,
  );
}

export function sizeOf(layers: PushedArtifact['layers']): string {
  return formatSize(layers.reduce((sum, { size }) => sum + size, 0));
}

/** The digest of the layer with this title. */
export function digestOf({ layers }: PushedArtifact, title: string): Digest | undefined {
  return layers.find(({ annotations }) => annotations['org.opencontainers.image.title'] === title)?.digest;
}

export async function hashFile(file: FileHandle): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(file.createReadStream({ start: 0, autoClose: false, highWaterMark: 1 << 20 }), hash);
  return `sha256:${hash.digest('hex')}`;
}

/** Opens a file for some work. Returns its result, or the error code of the system. */
export async function withFile<T>(
  path: string,
  flags: 'r' | 'r+',
  work: (file: FileHandle) => Promise<T>,
): Promise<T | string> {
  try {
    await using file = await open(path, flags);
    return await work(file);
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    return code;
  }
}

export async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
