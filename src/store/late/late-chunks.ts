import { createHash } from 'node:crypto';
import { closeSync, existsSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { type ChunkRange, countChunks } from '../../erofs/chunk-map.ts';
import { chunkDigestBytes, chunkDigestsAt } from '../../oci/chunk-list.ts';
import { algorithmOf, shortDigest, toDigest } from '../../oci/digest.ts';
import type { LateChunks } from '../../ports/late-views.ts';
import { ArtifactError } from '../../util/error.ts';
import { openRegular } from '../../util/regular-file.ts';
import type { BlobStore } from '../blobs/blobs.ts';
import { attempt } from '../files/failure.ts';
import { hashInThread } from '../integrity/thread-hash.ts';
import { openLateChunk } from './late-chunk.ts';
import type { LayerRecord } from './late-record.ts';
import { copyEnd } from './layer-file.ts';
import { type LateImage, mapChunks, readShown } from './shown-chunks.ts';

/**
 * Opens a layer that is shown by chunk; undefined for another one. Beside its file `<n>` are its list, `<n>.chunks`, and
 * once all chunks were shown either `<n>.whole` or `<n>.lied`.
 *
 * @param before the image that showed chunks before: it says which.
 */
export function openLateChunks(
  { digest, size, map, list }: LayerRecord,
  paths: { readonly data: string; readonly end: string },
  world: { readonly blobs: Pick<BlobStore, 'adopt' | 'path'>; readonly image: () => Promise<LateImage> },
  before: LateImage | undefined,
): LateChunks | undefined {
  if (map === undefined || list === undefined) return undefined;
  const { data, end } = paths;
  const [listed, whole, lied] = [`${data}.chunks`, `${data}.whole`, `${data}.lied`];
  const count = countChunks(map);
  const shown = before === undefined ? new Uint8Array(count) : readShown(map, before);
  const open = new Set<number>();
  const label = `${shortDigest(digest)} by its chunk list ${shortDigest(list)}`;
  const lengthOf = (chunk: number): number => Math.min(map.chunkSize, size - chunk * map.chunkSize);
  const isAllShown = (): boolean => !shown.includes(0);
  const lie = (): ArtifactError =>
    new ArtifactError(
      'corrupt',
      `the chunk list ${list} lies: all chunks of ${digest} have the digests in it, and together they are other content; push the artifact again with right lists, or mount it with loading: full`,
    );
  let state: 'coming' | 'whole' | 'lied' = existsSync(lied) ? 'lied' : existsSync(whole) ? 'whole' : 'coming';
  if (state === 'whole' && !isAllShown()) state = 'coming';
  let bytes = shown.reduce((sum, one, chunk) => sum + (one === 1 ? lengthOf(chunk) : 0), 0);
  let isListed = state === 'coming' && isRight(listed, list);
  let finishing: Promise<void> | undefined;
  let image: Promise<LateImage> | undefined;

  const remap = async (range: ChunkRange): Promise<void> =>
    await mapChunks(map, range, await (image ??= world.image()));

  const digestAt = (chunk: number): string => {
    const found = Buffer.alloc(chunkDigestBytes);
    const fd = openRegular(listed);
    try {
      readSync(fd, found, 0, found.length, chunkDigestsAt + chunk * chunkDigestBytes);
    } finally {
      closeSync(fd);
    }
    return found.toString('hex');
  };
  const mark = (path: string): void => {
    writeFileSync(path, '', { mode: 0o600 });
    rmSync(listed, { force: true });
    isListed = false;
  };
  const show = async (chunk: number): Promise<void> => {
    if (chunk === count - 1) await copyEnd(map, data, end);
    await remap({ from: chunk, to: chunk + 1, isPresent: true });
    shown[chunk] = 1;
    bytes += lengthOf(chunk);
  };
  const finish = async (signal: AbortSignal): Promise<void> => {
    if (state === 'whole') return;
    if (state === 'lied') {
      const found = (image ??= world.image());
      await found.then(({ changed }) => changed()).catch(() => {}); // a reader may have kept the kernel from it
      throw lie();
    }
    if (!isAllShown()) throw new ArtifactError('internal', `${label}: chunks are missing`);
    const algorithm = algorithmOf(digest);
    const { hex } = await hashInThread(data, algorithm, signal);
    if (toDigest(algorithm, hex) !== digest) {
      await remap({ from: 0, to: count, isPresent: false });
      shown.fill(0);
      bytes = 0;
      mark(lied);
      state = 'lied';
      throw lie();
    }
    await world.blobs.adopt(digest, data);
    mark(whole);
    state = 'whole';
  };

  return {
    list,
    count,
    chunkSize: map.chunkSize,
    at: offset => Math.floor(offset / map.chunkSize),
    isListed: () => isListed,
    isShown: chunk => shown[chunk] === 1,
    has(offset, length) {
      const last = Math.floor((offset + length - 1) / map.chunkSize);
      for (let chunk = Math.floor(offset / map.chunkSize); chunk <= last; chunk++)
        if (shown[chunk] !== 1) return false;
      return true;
    },
    bytes: () => bytes,
    open(chunk) {
      if (shown[chunk] !== 0 || open.has(chunk) || state !== 'coming')
        throw new ArtifactError('internal', `${label}: chunk ${chunk} is not to be written`);
      const from = chunk * map.chunkSize;
      const place = { data, blob: world.blobs.path(digest), from, to: from + lengthOf(chunk) };
      const name = `bytes ${from} to ${place.to - 1} of ${label}`;
      const opened = openLateChunk({
        ...place,
        name,
        digest: () => digestAt(chunk),
        show: () => attempt(`showing ${name}`, () => show(chunk)),
        ended: () => void open.delete(chunk),
      });
      open.add(chunk);
      return opened;
    },
    isWhole: () => state === 'whole',
    hasLied: () => state === 'lied',
    finish(signal) {
      finishing ??= attempt(`verifying ${label}`, () => finish(signal)).finally(
        () => (finishing = undefined),
      );
      return finishing;
    },
  };
}

function isRight(path: string, digest: string): boolean {
  try {
    const fd = openRegular(path);
    try {
      return createHash('sha256').update(readFileSync(fd)).digest('hex') === digest.slice(7);
    } finally {
      closeSync(fd);
    }
  } catch {
    return false; // it is lost: the layer comes as a whole
  }
}
