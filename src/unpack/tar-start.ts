import { toArtifactError } from '../util/error.ts';
import { inspectFile, readUncompressed } from './compression.ts';
import { blockSize } from './headers.ts';

/**
 * Whether a file is a tar, plain or compressed with gzip or zstd: it begins with a header whose checksum is right
 * (POSIX pax, "ustar Interchange Format"). A tar without an entry looks like a file of zeros and does not count.
 */
export async function startsAsTar(path: string): Promise<boolean> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of readUncompressed(path, inspectFile(path), path)) {
      chunks.push(chunk);
      length += chunk.length;
      if (length >= blockSize) break;
    }
  } catch (thrown) {
    // Damaged, or compressed in another way: it could not be unpacked.
    if (toArtifactError(thrown).code === 'unmountable') return false;
    throw thrown;
  }
  return length >= blockSize && isHeader(Buffer.concat(chunks).subarray(0, blockSize));
}

const checksumAt = 148;
const checksumLength = 8;

/** The sum counts its own field as spaces. */
function isHeader(block: Buffer): boolean {
  const field = block.toString('latin1', checksumAt, checksumAt + checksumLength);
  const [, octal] = /^ *([0-7]+)[ \0]*$/.exec(field) ?? [];
  if (octal === undefined) return false;
  let sum = checksumLength * 0x20;
  for (const [at, byte] of block.entries())
    if (at < checksumAt || at >= checksumAt + checksumLength) sum += byte;
  return sum === Number.parseInt(octal, 8);
}
