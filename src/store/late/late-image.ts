import { createHash } from 'node:crypto';
import { closeSync, readSync } from 'node:fs';
import { type ChunkMap, chunkEntries, countChunks } from '../../erofs/chunk-map.ts';
import { chunkIndexSize } from '../../erofs/format.ts';
import { type Digest, toDigest } from '../../oci/digest.ts';
import { ArtifactError } from '../../util/error.ts';
import { startPace } from '../../util/pace.ts';
import { openRegular } from '../../util/regular-file.ts';
import { toUnreadable } from '../integrity/damage.ts';
import type { ViewStore } from '../views/views.ts';
import type { LateRecord } from './late-record.ts';
import type { LateImage } from './shown-chunks.ts';

export type LateImages = {
  find(record: LateRecord): Promise<LateImage | undefined>;
  /** @throws if it is lost. */
  get(record: LateRecord): Promise<LateImage>;
  /** Returns what has changed of it, except which chunks it shows; undefined if nothing has, or if there is none. */
  check(record: LateRecord, signal: AbortSignal): Promise<string | undefined>;
};

/** All maps begin at a multiple of the size of an entry, and so do the slices of an image. */
const sliceBytes = 1024 * 1024;

export function openLateImages(
  views: Pick<ViewStore, 'find' | 'checkImage'>,
  reread: (image: string) => Promise<void>,
): LateImages {
  const find = async ({ key, keepsMaps }: LateRecord): Promise<LateImage | undefined> => {
    const path = (await views.find(key))?.image?.file;
    if (path === undefined) return undefined;
    return { path, changed: async () => (keepsMaps === true ? await reread(path) : undefined) };
  };
  return {
    find,
    async get(record) {
      const image = await find(record);
      if (image !== undefined) return image;
      throw new ArtifactError(
        'internal',
        `the volume that is loaded on demand lost its image (view ${record.key}); delete its pod, and a new one gets a new volume`,
      );
    },
    async check(record, signal) {
      const image = await find(record);
      if (image === undefined) return undefined;
      return (
        (await views.checkImage(record.key, 'inode', signal)) ??
        (await findDifference(image.path, record, signal))
      );
    },
  };
}

async function findDifference(
  path: string,
  { imageDigest, layers }: LateRecord,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (imageDigest === undefined) return undefined;
  const maps = layers.flatMap(({ map }) => map ?? []);
  try {
    const found = await digestBeforeChunks(path, maps, signal);
    return found === imageDigest ? undefined : 'its image is not the one that was made for it';
  } catch (thrown) {
    signal.throwIfAborted();
    return `its image ${toUnreadable(thrown)}`;
  }
}

/** Returns the sha256 that an image had before it showed any chunk. */
async function digestBeforeChunks(
  path: string,
  maps: readonly ChunkMap[],
  signal: AbortSignal,
): Promise<Digest> {
  const pace = startPace(signal);
  const sha256 = createHash('sha256');
  const slice = Buffer.alloc(sliceBytes);
  const fd = openRegular(path);
  try {
    for (let at = 0; ; at += sliceBytes) {
      const length = readSync(fd, slice, 0, sliceBytes, at);
      if (length === 0) break;
      const read = slice.subarray(0, length);
      for (const map of maps) hideChunks(read, at, map);
      sha256.update(read);
      const rest = pace();
      if (rest !== undefined) await rest;
    }
  } finally {
    closeSync(fd);
  }
  return toDigest('sha256', sha256.digest('hex'));
}

/** Makes present chunks missing in a part of an image that begins at an offset. */
function hideChunks(part: Buffer, offset: number, map: ChunkMap): void {
  const from = Math.max(0, Math.ceil((offset - map.at) / chunkIndexSize));
  const to = Math.min(countChunks(map), Math.floor((offset + part.length - map.at) / chunkIndexSize));
  if (from >= to) return;
  const start = map.at + from * chunkIndexSize - offset;
  const present = chunkEntries(map, { from, to, isPresent: true }).bytes;
  const missing = chunkEntries(map, { from, to, isPresent: false }).bytes;
  for (let at = 0; at < present.length; at += chunkIndexSize) {
    const end = at + chunkIndexSize;
    if (part.compare(present, at, end, start + at, start + end) === 0)
      missing.copy(part, start + at, at, end);
  }
}
