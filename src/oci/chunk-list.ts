import { ArtifactError } from '../util/error.ts';
import { formatSize } from '../util/size.ts';
import type { Descriptor } from './descriptor.ts';
import { algorithmOf, type Digest, hexOf, toDigest } from './digest.ts';

/**
 * The digests of the chunks of a blob, so that a chunk can be verified without the others. All chunks have the same
 * size, a power of 2, except the last.
 *
 * The document has a head of 64 bytes, with little-endian numbers: `OCICHNK1`, the algorithm of all digests (32 bits; 1
 * is sha256), 32 bits of zeros, the chunk size and the size of the blob (64 bits each), and the digest of the blob. The
 * digests of the chunks follow, 32 bytes each.
 */
export type ChunkList = {
  readonly chunkSize: number;
  readonly blob: Pick<Descriptor, 'digest' | 'size'>;
  /** In the order of the chunks. */
  readonly digests: Uint8Array;
};

/** The annotation of a layer with the digest of its chunk list, which is another layer of the same manifest. */
export const chunksAnnotation = 'internal.oci-artifact-csi.chunks';

/** The maximum bytes of a list. */
export const maxChunkListBytes: number = 4 * 1024 ** 2;
/** The size of the digest of a chunk. */
export const chunkDigestBytes = 32;

/** Where the digests begin. */
export const chunkDigestsAt = 64;

const magic = Buffer.from('OCICHNK1');
const sha256 = 1;
const smallestChunk = 1024 ** 2;
const usualChunk = 4 * 1024 ** 2;
/** Nothing of a chunk is shown before all of it is here. */
const largestChunk = 64 * 1024 ** 2;

/** Returns the chunk size for a blob of up to 8 TiB: 4 MiB, or more where the document would be too large. */
export function chunkSizeFor(blobSize: number): number {
  let chunkSize = usualChunk;
  while (documentBytes(blobSize, chunkSize) > maxChunkListBytes) chunkSize *= 2;
  return chunkSize;
}

function documentBytes(blobSize: number, chunkSize: number): number {
  return chunkDigestsAt + Math.ceil(blobSize / chunkSize) * chunkDigestBytes;
}

export function formatChunkList({ chunkSize, blob: { digest, size }, digests }: ChunkList): Buffer {
  const head = Buffer.alloc(chunkDigestsAt);
  magic.copy(head);
  head.writeUInt32LE(sha256, 8);
  head.writeBigUInt64LE(BigInt(chunkSize), 16);
  head.writeBigUInt64LE(BigInt(size), 24);
  head.write(hexOf(digest), 32, 'hex');
  return Buffer.concat([head, digests]);
}

/** The digest of the blob that a chunk list says it is of; undefined for what has no head of a list. */
export function readListedBlob(bytes: Uint8Array): Digest | undefined {
  if (bytes.length < chunkDigestsAt || !magic.equals(bytes.subarray(0, magic.length))) return undefined;
  return toDigest('sha256', Buffer.from(bytes.subarray(32, chunkDigestsAt)).toString('hex'));
}

/**
 * Parses the chunk list of a blob. The digests of the chunks are not those of a list that lies: only the digest of the
 * blob shows that, when all of it is here.
 *
 * @throws ArtifactError `unmountable` for anything but a list of this blob.
 */
export function parseChunkList(bytes: Uint8Array, blob: ChunkList['blob']): ChunkList {
  const refuse = (why: string): ArtifactError =>
    new ArtifactError('unmountable', `the chunk list of ${blob.digest} is not one: ${why}`);
  if (bytes.length < chunkDigestsAt) throw refuse(`it has ${bytes.length} bytes, fewer than its head`);
  if (bytes.length > maxChunkListBytes)
    throw refuse(`it has ${bytes.length} bytes, more than ${formatSize(maxChunkListBytes)}`);
  const document = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (!document.subarray(0, magic.length).equals(magic)) throw refuse('it does not begin with OCICHNK1');
  const algorithm = document.readUInt32LE(8);
  if (algorithm !== sha256) throw refuse(`its algorithm ${algorithm} is not known; 1 is sha256`);
  if (document.readUInt32LE(12) !== 0) throw refuse('its bytes 12 to 15 are not zeros');
  if (algorithmOf(blob.digest) !== 'sha256') throw refuse('only blobs with a sha256 have chunk lists');
  const asked = document.readBigUInt64LE(16);
  const chunkSize = Number(asked);
  if (chunkSize < smallestChunk || chunkSize > largestChunk || (chunkSize & (chunkSize - 1)) !== 0)
    throw refuse(`its chunk size ${asked} is no power of 2 from 1 MiB to 64 MiB`);
  const size = document.readBigUInt64LE(24);
  const digest = toDigest('sha256', document.toString('hex', 32, chunkDigestsAt));
  if (digest !== blob.digest || size !== BigInt(blob.size))
    throw refuse(`it is the one of ${digest} with ${size} bytes, and the blob has ${blob.size}`);
  const expected = documentBytes(blob.size, chunkSize);
  if (document.length !== expected)
    throw refuse(`it has ${document.length} bytes where its chunks need ${expected}`);
  return { chunkSize, blob, digests: document.subarray(chunkDigestsAt) };
}
