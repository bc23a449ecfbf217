import { createHash, hash as hashAtOnce } from 'node:crypto';
import { type PathLike } from 'node:fs';
import { type Algorithm, type Digest, toDigest } from '../../oci/digest.ts';
import { openHandle } from './directory.ts';

/** Bytes read and hashed at once: about 1 ms between turns of the event loop. */
const step = 1024 * 1024;

/** Returns size and hash (hex) of a file. It does not follow a symlink. @throws the signal's reason. */
export async function hashFile(
  path: PathLike,
  algorithm: Algorithm,
  signal: AbortSignal,
): Promise<{ readonly size: number; readonly hex: string }> {
  await using file = await openHandle(path);
  const hash = createHash(algorithm);
  const buffer = Buffer.allocUnsafe(Math.min((await file.stat()).size, step));
  for (let size = 0; ; ) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, buffer.length, size);
    if (bytesRead === 0) return { size, hex: hash.digest('hex') };
    hash.update(buffer.subarray(0, bytesRead));
    size += bytesRead;
  }
}

/** Returns the sha256 of bytes in memory. */
export function hashBytes(bytes: Uint8Array): Digest {
  return toDigest('sha256', hashAtOnce('sha256', bytes));
}
