import {
  closeSync,
  constants,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ChunkMap, chunkEntries, countChunks, endOf } from '../../erofs/chunk-map.ts';
import { planImage } from '../../erofs/image-plan.ts';
import { chunkMapsOf, type DeviceRole, layOutLateFiles } from '../../erofs/late-files.ts';
import { allocateFile } from '../../linux/io.ts';
import type { LateLayer, LateView, LateViewPlan, LateViews } from '../../ports/late-views.ts';
import type { ViewImage } from '../../ports/store.ts';
import type { FileNode } from '../../tree/tree.ts';
import { ArtifactError, errnoOf } from '../../util/error.ts';
import { doInSlices } from '../../util/pace.ts';
import { openRegular } from '../../util/regular-file.ts';
import type { BlobStore } from '../blobs/blobs.ts';
import { writeAside } from '../files/atomic-file.ts';
import type { Directory } from '../files/directory.ts';
import { attempt } from '../files/failure.ts';
import type { Scratch } from '../files/scratch.ts';
import type { EvidenceStore } from '../integrity/evidence.ts';
import { writeImageFile } from '../views/view-image.ts';
import type { ViewContents } from '../views/view-tree.ts';
import type { ViewStore } from '../views/views.ts';
import { type LateRecord, readLate } from './late-record.ts';
import { packSmallFiles } from './small-files.ts';

/**
 * `late/<key>/`: for each large layer `<n>`, a link of its download and later of its blob, and `<n>.end`; the small
 * files; and the record. The image is that of a view with the same key.
 */
export type LateViewStore = LateViews & {
  /** Removes those of an earlier boot, and incomplete ones. To be called before anything else. */
  retire(): Promise<void>;
};

/** The size of blocks in the image: that of a page, in which files are read. */
const blockSize = 4096;
/** A file has at most so many chunks, each with an entry of 8 bytes in the image. */
const maxChunks = 2 ** 16;

export function openLateViews(
  directory: Directory,
  world: {
    readonly views: Pick<ViewStore, 'find' | 'build' | 'remove'>;
    readonly blobs: Pick<BlobStore, 'share' | 'path' | 'size'>;
    readonly sources: Pick<ViewContents, 'path'>;
    readonly scratch: Scratch;
    readonly witness: Pick<EvidenceStore, 'relink'>;
  },
  bootId: string,
): LateViewStore {
  const { views, blobs, sources, scratch, witness } = world;
  const at = (key: string, name: string): string => join(directory.path, key, name);
  const recordOf = (key: string): string => at(key, 'record');
  const dataOf = (key: string, layer: number): string => at(key, String(layer));
  const endFileOf = (key: string, layer: number): string => at(key, `${layer}.end`);

  const imageOf = async (key: string): Promise<string> => {
    const file = (await views.find(key))?.image?.file;
    if (file !== undefined) return file;
    throw new ArtifactError('internal', `the late view ${key} lost its image`);
  };

  /** Makes the file of a layer that of its blob, of which another download may have made another file. */
  const fill = async (key: string, layer: number, { digest }: LateLayer): Promise<string> => {
    const [data, blob] = [dataOf(key, layer), blobs.path(digest)];
    if (lstatSync(data).ino !== lstatSync(blob).ino) await copyFile(blob, data, constants.COPYFILE_FICLONE);
    return data;
  };

  const open = ({ key, complete, source, platform, layers }: LateRecord): LateView => {
    const layerAt = (layer: number): LateRecord['layers'][number] => {
      const found = layers[layer];
      if (found !== undefined) return found;
      throw new ArtifactError('internal', `the late view ${key} has no layer ${layer}`);
    };
    const shown = new Set<number>();
    return {
      key,
      complete,
      platform,
      layers,
      isShown: layer => shown.has(layer),
      prepare: layer =>
        attempt(`taking room for ${layerAt(layer).digest}`, async () => {
          const { size } = layerAt(layer);
          await blobs.share(layerAt(layer), source, dataOf(key, layer));
          await allocate(dataOf(key, layer), size);
        }),
      show: layer =>
        attempt(`showing ${layerAt(layer).digest} in late view ${key}`, async () => {
          const { map } = layerAt(layer);
          const data = await fill(key, layer, layerAt(layer));
          if (map !== undefined) {
            copyEnd(map, data, endFileOf(key, layer));
            showChunks(map, await imageOf(key));
          }
          shown.add(layer);
        }),
      open(layer) {
        const fd = openRegular(dataOf(key, layer));
        return { fd, [Symbol.dispose]: () => closeSync(fd) };
      },
    };
  };

  const create = async (
    { key, record, tree, layers, platform, source, landingOf }: LateViewPlan,
    signal: AbortSignal,
  ): Promise<{ readonly view: LateView; readonly image: ViewImage } | undefined> => {
    const numbers = new Map(layers.map(({ digest }, layer) => [digest, layer]));
    const lateOf = ({ source: { kind, digest } }: FileNode): number | undefined =>
      kind === 'blob' ? numbers.get(digest) : undefined;
    mkdirSync(join(directory.path, key), { mode: 0o700 });
    try {
      const pathOf = (file: FileNode): string | undefined =>
        lateOf(file) === undefined ? sources.path(file) : undefined;
      const small = await packSmallFiles(at(key, 'small'), tree, blockSize, pathOf, signal);
      const sizes = small.size === 0 ? [] : [small.size];
      const files = layers.map(({ size }) => ({ size, chunkSize: chunkSizeOf(size) }));
      const layout = layOutLateFiles({ blockSize, sizes }, files);
      if (layout === undefined) {
        await remove(key);
        return undefined;
      }
      const placeOf = (file: FileNode) => {
        const late = lateOf(file);
        const place = late === undefined ? undefined : layout.places[late];
        return place ?? { device: 1, block: small.blockOf(file) };
      };
      const planned = await doInSlices(planImage(tree, layout.devices, placeOf), signal);
      const maps = chunkMapsOf(planned, layout);
      const late: LateRecord = {
        key,
        complete: record.key,
        bootId,
        source,
        platform,
        layers: layers.map(({ digest, size }, layer) => ({ digest, size, map: maps[layer] })),
      };
      const view = open(late);
      for (const layer of layers.keys()) {
        closeSync(openSync(endFileOf(key, layer), 'wx', 0o600));
        await view.prepare(layer);
      }
      const raiseLate = async (to: string) => {
        const { imageDigest: _, ...own } = await writeImageFile(to, planned, signal); // it changes
        return own;
      };
      const { image } = await views.build({ ...record, key, late: true }, tree, signal, { raiseLate });
      if (image === undefined) throw new ArtifactError('internal', `the late view ${key} has no image`);
      await writeAside(scratch.fresh(), recordOf(key), JSON.stringify(late), false);
      const deviceOf = (role: DeviceRole): string => {
        if (role.kind === 'given') return at(key, 'small');
        if (role.kind === 'landing') return landingOf(role.file);
        return role.kind === 'data' ? dataOf(key, role.file) : endFileOf(key, role.file);
      };
      return { view, image: { ...image, devices: layout.roles.map(deviceOf) } };
    } catch (thrown) {
      await remove(key);
      throw thrown;
    }
  };

  const find = async (key: string): Promise<LateView | undefined> => {
    const record = readLate(recordOf(key), key);
    return record?.bootId === bootId && (await views.find(key)) !== undefined ? open(record) : undefined;
  };

  const remove = async (key: string): Promise<void> => {
    await views.remove(key);
    const items = (readLate(recordOf(key), key)?.layers ?? []).map(
      ({ digest }) => ({ kind: 'blobs', digest }) as const,
    );
    await witness.relink(items, () => scratch.discard(join(directory.path, key)));
  };

  const list = async (): Promise<readonly LateView[]> => {
    const views = await Promise.all((await directory.list()).map(find));
    return views.filter(view => view !== undefined);
  };

  return {
    create: (plan, signal) =>
      attempt(`making a late view of ${plan.record.reference}`, () => create(plan, signal)),
    find,
    list: () => attempt('listing the late views', list),
    remove: key => attempt(`removing late view ${key}`, () => remove(key)),
    async retire() {
      const kept = new Set((await list()).map(({ key }) => key));
      for (const key of await directory.list()) if (!kept.has(key)) await remove(key);
    },
  };
}

function chunkSizeOf(size: number): number {
  let chunkSize = 1024 * 1024;
  while (size > chunkSize * maxChunks) chunkSize *= 2;
  return chunkSize;
}

/** Not every filesystem can take room ahead. */
async function allocate(path: string, size: number): Promise<void> {
  const fd = openSync(path, 'r+');
  try {
    await allocateFile(fd, size).catch((thrown: unknown) => {
      if (errnoOf(thrown) !== 'EOPNOTSUPP') throw thrown;
    });
  } finally {
    closeSync(fd);
  }
}

/** Copies the last chunk, unless it ends with a block: the kernel reads whole blocks, and a blob has its exact size. */
function copyEnd(map: ChunkMap, data: string, to: string): void {
  const end = endOf(map);
  if (end === undefined) return;
  const bytes = Buffer.alloc(end.to - end.from);
  const from = openRegular(data);
  const fd = openSync(to, 'r+');
  try {
    const read = readSync(from, bytes, 0, bytes.length, end.from);
    if (read !== bytes.length) throw new ArtifactError('corrupt', `${data} is shorter than its blob`);
    writeSync(fd, bytes, 0, bytes.length, end.from);
    ftruncateSync(fd, end.paddedTo);
  } finally {
    closeSync(fd);
    closeSync(from);
  }
}

function showChunks(map: ChunkMap, image: string): void {
  const { at, bytes } = chunkEntries(map, { from: 0, to: countChunks(map), isPresent: true });
  const fd = openSync(image, 'r+');
  try {
    writeSync(fd, bytes, 0, bytes.length, at);
  } finally {
    closeSync(fd);
  }
}
