import { randomBytes } from 'node:crypto';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import type { DemoLayer } from '../../src/cli/demo/artifact.ts';
import { endOfTar, type RawEntry, rawEntry, rawTar } from '../support/oci/raw-tar.ts';
import type { Random } from '../support/os/random.ts';

const KiB = 1024;
const mediaType = 'application/x.tar+gzip';

/** Artifacts with one layer that fails while the others are unpacked, or wait for it. No two share a layer. */
export function makeFailingLayers(random: Random): readonly DemoLayer[] {
  const kind = failures[Math.floor(random.next() * failures.length)] ?? noTar;
  const beside = Math.floor(random.next() * 3);
  const layers = [kind(random), ...Array.from({ length: beside }, () => gzipSync(goodTar(10)))];
  return layers.map(bytes => ({ bytes, mediaType }));
}

type Failure = (random: Random) => Buffer;

const noTar: Failure = () => Buffer.from(`no tar ${randomBytes(500).toString('hex')}`);
const failures: readonly Failure[] = [
  noTar,
  () => gzipSync(rawTar(...files(5), { name: '../../outside', body: 'x' })),
  () => gzipSync(rawTar(...files(5), { name: 'device', type: '3' })),
  () => zstdCompressSync(rawTar(...files(5), { name: 'unknown', type: '?' })),
  // Damage anywhere, so that the thread fails early or late.
  random => damage(gzipSync(Buffer.concat([goodTar(3), randomBytes(200 * KiB)])), random),
  random => damage(zstdCompressSync(rawTar({ name: 'large', body: randomBytes(200 * KiB) })), random),
  random => {
    const bytes = gzipSync(rawTar({ name: 'large', body: randomBytes(300 * KiB) }));
    return bytes.subarray(0, Math.floor(bytes.length * random.next()));
  },
  // Enough files for the second thread.
  () =>
    gzipSync(
      Buffer.concat([...files(1200).map(rawEntry), rawEntry({ name: 'device', type: '3' }), endOfTar]),
    ),
];

function damage(bytes: Buffer, random: Random): Buffer {
  bytes.fill(0x5a, 20 + Math.floor((bytes.length - 40) * random.next()));
  return bytes;
}

function goodTar(count: number): Buffer {
  return rawTar(...files(count));
}

function files(count: number): readonly RawEntry[] {
  return Array.from({ length: count }, (_, nth) => ({ name: `f${nth}`, body: randomBytes(100) }));
}
