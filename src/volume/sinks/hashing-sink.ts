import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import type { Descriptor } from '../../oci/descriptor.ts';
import { algorithmOf, toDigest } from '../../oci/digest.ts';
import type { Sink } from '../../ports/registry.ts';
import { ArtifactError } from '../../util/error.ts';

/** Hashes bytes without storing them. */
export type HashingSink = Sink & {
  /** @throws ArtifactError `corrupt` if the digest differs, with the message of a stored download. */
  verified(): void;
};

export function createHashingSink({ digest, size }: Descriptor): HashingSink {
  const algorithm = algorithmOf(digest);
  let hash: Hash = createHash(algorithm);
  let offset = 0;
  return {
    get offset() {
      return offset;
    },
    write(chunk) {
      hash.update(chunk);
      offset += chunk.length;
    },
    restart() {
      hash = createHash(algorithm);
      offset = 0;
    },
    verified() {
      const actual = toDigest(algorithm, hash.digest('hex'));
      if (actual === digest) return;
      throw new ArtifactError('corrupt', `blob ${digest}: the ${size} bytes that came have digest ${actual}`);
    },
  };
}
