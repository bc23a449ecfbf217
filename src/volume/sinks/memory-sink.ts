import { hash } from 'node:crypto';
import type { Descriptor } from '../../oci/descriptor.ts';
import { algorithmOf, toDigest } from '../../oci/digest.ts';
import type { Sink } from '../../ports/registry.ts';
import { ArtifactError } from '../../util/error.ts';

/** Stores a small download in memory. */
export type MemorySink = Sink & {
  /** The bytes as received, not verified. */
  readonly bytes: Uint8Array;
  /** @throws ArtifactError `corrupt` if the digest differs. */
  verified(): Uint8Array;
};

export function createMemorySink({ digest, size }: Descriptor): MemorySink {
  const bytes = Buffer.allocUnsafe(size);
  let offset = 0;
  return {
    bytes,
    get offset() {
      return offset;
    },
    write(chunk) {
      bytes.set(chunk, offset);
      offset += chunk.length;
    },
    restart() {
      offset = 0;
    },
    verified() {
      const algorithm = algorithmOf(digest);
      const actual = toDigest(algorithm, hash(algorithm, bytes));
      if (offset === size && actual === digest) return bytes;
      throw new ArtifactError(
        'corrupt',
        `the registry sent ${actual} (${offset} bytes) for ${digest} (${size} bytes)`,
      );
    },
  };
}
