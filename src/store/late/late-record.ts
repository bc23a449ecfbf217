import type { ChunkMap } from '../../erofs/chunk-map.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Platform } from '../../oci/platform.ts';
import { errnoOf } from '../../util/error.ts';
import { isIrregular, readRegular } from '../../util/regular-file.ts';
import {
  type Guard,
  isAbsentOr,
  isCount,
  isDigestText,
  isFlag,
  isShaped,
  isText,
  parseFields,
} from '../files/json-record.ts';

/** A large layer, and where the image maps it; nowhere if the tree does not show it. */
export type LayerRecord = {
  readonly digest: Digest;
  readonly size: number;
  readonly map?: ChunkMap | undefined;
  /** The digest of the list of its chunks, if they are shown one by one. They are those of the map. */
  readonly list?: Digest | undefined;
};

/** What is kept of a late view, beside the files of its layers. */
export type LateRecord = {
  readonly key: string;
  readonly complete: string;
  /** The boot of which its mounts are. */
  readonly bootId: string;
  readonly source: string;
  readonly platform?: Platform | undefined;
  /** Whether the kernel of this boot keeps the maps of a mounted image until it is made to read them again. */
  readonly keepsMaps?: boolean | undefined;
  /** The sha256 of its image before it showed any chunk. An older version recorded none. */
  readonly imageDigest?: Digest | undefined;
  readonly layers: readonly LayerRecord[];
};

const isMap = isShaped<ChunkMap>({
  size: isCount,
  chunkSize: isCount,
  at: isCount,
  device: isCount,
  blockSize: isCount,
});
const isLayer = isShaped<LayerRecord>({
  digest: isDigestText,
  size: isCount,
  map: isAbsentOr(isMap),
  list: isAbsentOr(isDigestText),
});
const isLayers: Guard<readonly LayerRecord[]> = (value): value is readonly LayerRecord[] =>
  Array.isArray(value) && value.every(isLayer);
const isRecord = isShaped<LateRecord>({
  key: isText,
  complete: isText,
  bootId: isText,
  source: isText,
  platform: isAbsentOr(isShaped<Platform>({ os: isText, architecture: isText, variant: isAbsentOr(isText) })),
  keepsMaps: isAbsentOr(isFlag),
  imageDigest: isAbsentOr(isDigestText),
  layers: isLayers,
});

/**
 * An older version must not understand a record with lists: it takes a layer for whole if its first chunk is shown, and
 * would show the others before they are here.
 */
export function formatLate({ layers, ...record }: LateRecord): string {
  const isByChunk = layers.some(({ list }) => list !== undefined);
  return JSON.stringify({ ...record, [isByChunk ? 'byChunk' : 'layers']: layers });
}

const absent = new Set(['ENOENT', 'ENOTDIR']);

/** Returns the record at a path; undefined if it is torn, foreign, or absent. @throws errors of a disk that does not give it. */
export function readLate(path: string, key: string): LateRecord | undefined {
  let text: string;
  try {
    text = readRegular(path);
  } catch (thrown) {
    if (isIrregular(thrown) || absent.has(errnoOf(thrown) ?? '')) return undefined;
    throw thrown;
  }
  const { byChunk, ...fields } = parseFields(text) ?? {};
  const record = byChunk === undefined ? fields : { ...fields, layers: byChunk };
  return isRecord(record) && record.key === key ? record : undefined;
}

/** Whether the record at a path is of this boot, or the disk does not give it. */
export function mayBeOfBoot(path: string, key: string, bootId: string): boolean {
  try {
    return readLate(path, key)?.bootId === bootId;
  } catch {
    return true;
  }
}

/** The layers in the record at a path; none if the disk does not give it. */
export function layersOfLate(path: string, key: string): LateRecord['layers'] {
  try {
    return readLate(path, key)?.layers ?? [];
  } catch {
    return [];
  }
}
