import { createCipheriv, createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { tarOf } from '../support/oci/tar.ts';

/** A layer to push: its bytes in chunks, and how the manifest and the config of an image describe it. */
export type LayerSource = {
  readonly mediaType: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly chunks: () => Iterable<Uint8Array>;
  /** Of the tar, in an image. */
  readonly diffId?: string;
};

/** What a tag of an artifact shows. */
export type ArtifactSource = {
  readonly layers: readonly LayerSource[];
  /** The regular files that a client makes which unpacks it, and their bytes. */
  readonly files: number;
  readonly bytes: number;
};

const MiB = 1024 * 1024;

/** Fixed, so that a layer is the same whenever it is made. */
const mtime = new Date('2026-01-01');

/** Blobs of bytes that cannot be compressed. */
export function blobs(name: string, count: number, mebibytes: number): ArtifactSource {
  const layers = Array.from({ length: count }, (_, index) =>
    file(`${name}-${index}.bin`, () => noise(`${name} ${index}`, mebibytes)),
  );
  return { layers, files: count, bytes: count * mebibytes * MiB };
}

/** Blobs of one line. */
export function lines(count: number): ArtifactSource {
  const texts = Array.from({ length: count }, (_, index) => Buffer.from(`this is line ${index}\n`));
  const layers = texts.map((text, index) => file(`line-${index}.txt`, () => [text]));
  return { layers, files: count, bytes: texts.reduce((sum, { length }) => sum + length, 0) };
}

/**
 * An image of one layer for each seed: `count` files in each, a hundred in a directory, in all of about 3 KB a file,
 * which gzip compresses to less than half. Layers of the same seed are the same. A single layer can also be unpacked by
 * oras, because it has a title.
 */
export async function image(
  seeds: readonly string[],
  count: number,
  compression: 'gzip' | 'zstd',
): Promise<ArtifactSource> {
  const made = await Promise.all(seeds.map(seed => tree(seed, count, compression)));
  const [only] = made;
  const unpacked = { 'org.opencontainers.image.title': 'tree', 'io.deis.oras.content.unpack': 'true' };
  const layers =
    made.length === 1 && only !== undefined
      ? [{ ...only.layer, annotations: unpacked }]
      : made.map(({ layer }) => layer);
  const bytes = made.reduce((sum, layer) => sum + layer.bytes, 0);
  return { layers, files: seeds.length * count, bytes };
}

async function tree(seed: string, count: number, compression: 'gzip' | 'zstd') {
  const random = Buffer.concat([...noise(seed, Math.ceil((count * 900) / MiB))]);
  const again = 'the same again '.repeat(68);
  const files = Array.from({ length: count }, (_, index) => {
    const name = `tree/${seed}-${Math.floor(index / 100)}/file-${index % 100}`;
    return [{ name, mtime }, `${random.toString('hex', index * 900, index * 900 + 900)}${again}`] as const;
  });
  const directories = new Set(['tree', ...files.map(([{ name }]) => dirname(name))]);
  const tar = await tarOf([
    ...[...directories].map(name => [{ name, mtime, type: 'directory' as const }] as const),
    ...files,
  ]);
  const packed = compression === 'gzip' ? gzipSync(tar) : zstdCompressSync(tar);
  const layer: LayerSource = {
    mediaType: `application/vnd.oci.image.layer.v1.tar+${compression}`,
    annotations: {},
    chunks: () => [packed],
    diffId: `sha256:${createHash('sha256').update(tar).digest('hex')}`,
  };
  return { layer, bytes: files.reduce((sum, [, text]) => sum + text.length, 0) };
}

function file(title: string, chunks: () => Iterable<Uint8Array>): LayerSource {
  const annotations = { 'org.opencontainers.image.title': title };
  return { mediaType: 'application/octet-stream', annotations, chunks };
}

/** The same bytes for the same seed, at the speed of AES. */
function* noise(seed: string, mebibytes: number): Iterable<Uint8Array> {
  const key = createHash('sha256').update(seed).digest();
  const cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16));
  const zeros = Buffer.alloc(MiB);
  for (let made = 0; made < mebibytes; made++) yield cipher.update(zeros);
}
