import { createHash } from 'node:crypto';
import { type ChunkList, chunkSizeFor, formatChunkList } from '../../oci/chunk-list.ts';
import type { Digest } from '../../oci/digest.ts';
import type { GeneratedBlob } from './registry.ts';

/** A blob whose chunks are hashed when all of it is read, so that its bytes are made once for both. */
export type ChunkListing = {
  readonly blob: GeneratedBlob;
  /** The chunk list of the blob with this digest. */
  list(digest: Digest): Buffer;
};

/** @param source its pieces do not cross the end of a chunk. */
export function openChunkListing({ size, read }: GeneratedBlob): ChunkListing {
  const chunkSize = chunkSizeFor(size);
  const digests: Buffer[] = [];

  function* hashed(): Generator<Uint8Array> {
    let [hash, at] = [createHash('sha256'), 0];
    for (const piece of read(0, size)) {
      hash.update(piece);
      at += piece.length;
      if (at % chunkSize === 0 || at === size) {
        digests.push(hash.digest());
        hash = createHash('sha256');
      }
      yield piece;
    }
  }

  return {
    blob: {
      size,
      read: (from, to) => (from === 0 && to === size && digests.length === 0 ? hashed() : read(from, to)),
    },
    list(digest) {
      const list: ChunkList = { chunkSize, blob: { digest, size }, digests: Buffer.concat(digests) };
      return formatChunkList(list);
    },
  };
}
