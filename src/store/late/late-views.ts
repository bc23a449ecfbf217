import { closeSync, existsSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { planImage } from '../../erofs/image-plan.ts';
import { chunkMapsOf, type DeviceRole, layOutLateFiles } from '../../erofs/late-files.ts';
import type { Digest } from '../../oci/digest.ts';
import type { LateLayer, LateView, LateViewPlan, LateViews } from '../../ports/late-views.ts';
import type { ViewImage } from '../../ports/store.ts';
import type { FileNode } from '../../tree/tree.ts';
import { doEach } from '../../util/each.ts';
import { ArtifactError } from '../../util/error.ts';
import { doInSlices } from '../../util/pace.ts';
import { openRegular } from '../../util/regular-file.ts';
import type { BlobStore } from '../blobs/blobs.ts';
import { writeAside } from '../files/atomic-file.ts';
import type { Directory } from '../files/directory.ts';
import { attempt } from '../files/failure.ts';
import type { Scratch } from '../files/scratch.ts';
import type { EvidenceStore } from '../integrity/evidence.ts';
import { inodeOf, writeImageFile } from '../views/view-image.ts';
import type { ViewContents } from '../views/view-tree.ts';
import type { ViewStore } from '../views/views.ts';
import { openLateChunks } from './late-chunks.ts';
import { openLateImages } from './late-image.ts';
import { formatLate, type LateRecord, layersOfLate, mayBeOfBoot, readLate } from './late-record.ts';
import { allocate, chunkSizeOf, copyEnd, writeOver } from './layer-file.ts';
import { findShown, type LateImage, showChunks } from './shown-chunks.ts';
import { packSmallFiles } from './small-files.ts';

/**
 * `late/<key>/`: for each large layer `<n>`, a link of its download and later of its blob, and `<n>.end`; for one that
 * is shown by chunk, `<n>` is a file of its own until it is the blob, and its list is beside it; the small files; and the
 * record. The image is that of a view with the same key.
 */
export type LateViewStore = LateViews & {
  /**
   * Removes those of an earlier boot, and incomplete ones. To be called before anything else. One that the disk does not
   * give stays: a volume may show it.
   */
  retire(): Promise<void>;
};

const fresh = { flag: 'wx', mode: 0o600 } as const;
/** The size of blocks in the image: that of a page, in which files are read. */
const blockSize = 4096;

export function openLateViews(
  directory: Directory,
  world: {
    readonly views: Pick<ViewStore, 'find' | 'build' | 'remove' | 'keys' | 'checkImage'>;
    readonly blobs: Pick<BlobStore, 'share' | 'adopt' | 'path' | 'size'>;
    readonly sources: Pick<ViewContents, 'path'>;
    readonly scratch: Scratch;
    readonly witness: Pick<EvidenceStore, 'relink'>;
    readonly reread: (image: string) => Promise<void>;
  },
  bootId: string,
): LateViewStore {
  const { views, blobs, sources, scratch, witness } = world;
  const at = (key: string, name: string): string => join(directory.path, key, name);
  const recordOf = (key: string): string => at(key, 'record');
  const dataOf = (key: string, layer: number): string => at(key, String(layer));
  const endFileOf = (key: string, layer: number): string => at(key, `${layer}.end`);
  const listOf = (key: string, layer: number): string => at(key, `${layer}.chunks`);

  const images = openLateImages(views, world.reread);

  /** Whether the file of a layer is that of its blob, which nothing writes to. */
  const isBlob = (key: string, layer: number, { digest }: LateLayer): boolean =>
    inodeOf(dataOf(key, layer)) === inodeOf(blobs.path(digest));

  /** Makes the file of a layer that of its blob, of which another download may have made another file. */
  const fill = async (key: string, layer: number, late: LateLayer): Promise<string> => {
    const data = dataOf(key, layer);
    if (!isBlob(key, layer, late)) await writeOver(data, blobs.path(late.digest));
    return data;
  };

  const isHere = (digest: Digest): boolean => existsSync(blobs.path(digest));

  /** `image`: of one that there was before, and the layers that it shows. */
  const open = (record: LateRecord, image?: LateImage, shown = new Set<number>()): LateView => {
    const { key, complete, source, platform, layers } = record;
    const chunks = layers.map((layer, number) => {
      const paths = { data: dataOf(key, number), end: endFileOf(key, number) };
      return openLateChunks(layer, paths, { blobs, image: () => images.get(record) }, image);
    });
    const layerAt = (layer: number): LateRecord['layers'][number] => {
      const found = layers[layer];
      if (found !== undefined) return found;
      throw new ArtifactError(
        'internal',
        `the volume that is loaded on demand has no layer ${layer} (view ${key})`,
      );
    };
    return {
      key,
      complete,
      platform,
      layers,
      isShown: layer => chunks[layer]?.isWhole() ?? shown.has(layer),
      chunksOf: layer => chunks[layer],
      prepare: layer =>
        attempt(`taking room for ${layerAt(layer).digest}`, async () => {
          const { size } = layerAt(layer);
          if (shown.has(layer)) return; // no download may write to what is shown
          await blobs.share(layerAt(layer), source, dataOf(key, layer));
          if (!isBlob(key, layer, layerAt(layer))) await allocate(dataOf(key, layer), size);
        }),
      show: layer =>
        attempt(
          `showing ${layerAt(layer).digest} in the volume that is loaded on demand (view ${key})`,
          async () => {
            const { map } = layerAt(layer);
            if (shown.has(layer)) return;
            const data = await fill(key, layer, layerAt(layer));
            if (map !== undefined) {
              await copyEnd(map, data, endFileOf(key, layer));
              await showChunks(map, await images.get(record));
            }
            shown.add(layer);
          },
        ),
      open(layer) {
        const fd = openRegular(dataOf(key, layer));
        return { fd, [Symbol.dispose]: () => closeSync(fd) };
      },
      async reread() {
        if (record.keepsMaps === true) await (await images.get(record)).changed();
      },
    };
  };

  const create = async (
    { key, record, tree, layers, platform, source, landingOf, keepsMaps }: LateViewPlan,
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
      const files = layers.map(({ size, list }) => ({
        size,
        chunkSize: list?.chunkSize ?? chunkSizeOf(size),
      }));
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
        keepsMaps,
        layers: layers.map(({ digest, size, list }, layer) => {
          const map = maps[layer];
          return { digest, size, map, list: map && list?.digest };
        }),
      };
      for (const [layer, { list }] of late.layers.entries())
        if (list !== undefined) writeFileSync(listOf(key, layer), layers[layer]?.list?.bytes ?? '', fresh);
      const view = open(late);
      for (const [layer, { size }] of layers.entries()) {
        closeSync(openSync(endFileOf(key, layer), 'wx', 0o600));
        if (view.chunksOf(layer) === undefined) await view.prepare(layer);
        else {
          closeSync(openSync(dataOf(key, layer), 'wx', 0o644));
          await allocate(dataOf(key, layer), size);
        }
      }
      let imageDigest: Digest | undefined;
      const raiseLate = async (to: string) => {
        const { imageDigest: asWritten, ...own } = await writeImageFile(to, planned, signal);
        imageDigest = asWritten; // not of the view: it changes
        return own;
      };
      const { image } = await views.build({ ...record, key, late: true }, tree, signal, { raiseLate });
      if (image === undefined)
        throw new ArtifactError('internal', `the volume that is loaded on demand got no image (view ${key})`);
      await writeAside(scratch.fresh(), recordOf(key), formatLate({ ...late, imageDigest }), false);
      const deviceOf = (role: DeviceRole): string => {
        if (role.kind === 'given') return at(key, 'small');
        if (role.kind === 'landing') return landingOf(role.file);
        return role.kind === 'data' ? dataOf(key, role.file) : endFileOf(key, role.file);
      };
      // A read past the page cache waits until the disk has what was written before, and holds up who writes to the file.
      const isDirect = image.isDirect && layers.every(({ list }) => list === undefined);
      return { view, image: { ...image, devices: layout.roles.map(deviceOf), isDirect } };
    } catch (thrown) {
      await remove(key);
      throw thrown;
    }
  };

  const find = async (key: string): Promise<LateView | undefined> => {
    const record = readLate(recordOf(key), key);
    const image = record?.bootId === bootId ? await images.find(record) : undefined;
    if (record === undefined || image === undefined) return undefined;
    return open(record, image, await findShown(record.layers, image, isHere));
  };

  const remove = async (key: string): Promise<void> => {
    await views.remove(key);
    const layers = layersOfLate(recordOf(key), key);
    const items = layers.map(({ digest }) => ({ kind: 'blobs', digest }) as const);
    await witness.relink(items, () => scratch.discard(join(directory.path, key)));
  };

  return {
    create: (plan, signal) =>
      attempt(`making a volume of ${plan.record.reference} that is loaded on demand`, () =>
        create(plan, signal),
      ),
    find: key => attempt(`reading the volume that is loaded on demand (view ${key})`, () => find(key)),
    check: (key, signal) =>
      attempt(`verifying the image of the volume that is loaded on demand (view ${key})`, async () => {
        const record = readLate(recordOf(key), key);
        return record && images.check(record, signal);
      }),
    keys: () => attempt('listing the volumes that are loaded on demand', () => directory.list()),
    remove: key => attempt(`removing the volume that was loaded on demand (view ${key})`, () => remove(key)),
    async retire() {
      const there = new Set(await views.keys());
      const isOver = (key: string): boolean => !there.has(key) || !mayBeOfBoot(recordOf(key), key, bootId);
      await doEach((await directory.list()).filter(isOver), remove);
    },
  };
}
