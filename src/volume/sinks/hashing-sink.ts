import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import type { Descriptor } from '../../oci/descriptor.ts';
import { algorithmOf, toDigest } from '../../oci/digest.ts';
import { ArtifactError } from '../../util/error.ts';
import type { Sink } from '../../ports/registry.ts';

/** Takes bytes for their digest alone. */
export type HashingSink = Sink & {
  /** @throws ArtifactError `corrupt` for bytes of another digest, in the words of a download that is kept. */
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
