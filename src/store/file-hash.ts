import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import type { Algorithm } from '../oci/digest.ts';

/** Bytes read and hashed at once; about 1 ms of work between turns of the event loop. */
const step = 1024 * 1024;

/** Feeds an open file to a hash, from its start. @returns the bytes hashed. @throws the signal's reason. */
export async function hashInto(hash: Hash, file: FileHandle, signal: AbortSignal): Promise<number> {
  const { size } = await file.stat();
  const buffer = Buffer.allocUnsafe(Math.min(size, step));
  for (let offset = 0; ; ) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
    if (bytesRead === 0) return offset;
    hash.update(buffer.subarray(0, bytesRead));
    offset += bytesRead;
  }
}

/** Size and hex of a file's hash. @throws the signal's reason. */
export async function hashFile(
  path: string,
  algorithm: Algorithm,
  signal: AbortSignal,
): Promise<{ readonly size: number; readonly hex: string }> {
  await using file = await open(path);
  const hash = createHash(algorithm);
  const size = await hashInto(hash, file, signal);
  return { size, hex: hash.digest('hex') };
}
