import { type ChunkMap, endOf, type LateFile } from './chunk-map.ts';
import type { Place } from './format.ts';
import { chunkMapOf, type Devices, type ImagePlan } from './image-plan.ts';

/**
 * The file that a device of an image must be. `given`: one of those with bytes of other files. `landing`: it is read for
 * missing bytes of a late file. `data`: the bytes of a late file. `end`: the end of a late file (`endOf`).
 */
export type DeviceRole =
  | { readonly kind: 'given'; readonly index: number }
  | { readonly kind: 'landing' | 'data' | 'end'; readonly file: number };

/** Devices of an image with late files: the roles are in the order of the numbers, from 1. */
export type LateLayout = {
  readonly devices: Devices;
  readonly roles: readonly DeviceRole[];
  /** By file. */
  readonly places: readonly Place[];
};

/** The maximum number of devices, and the maximum blocks of a device, in this format. */
const maxDevices = 0xffff;
const maxBlocks = 2 ** 32 - 1;

/**
 * Gives numbers to the devices of an image that shows late files beside others: landings have even ones. Undefined if
 * the format cannot express so many files, or such a large one.
 *
 * @param given the devices with bytes of other files, which keep their numbers.
 */
export function layOutLateFiles(
  { blockSize, sizes: given }: Devices,
  files: readonly LateFile[],
): LateLayout | undefined {
  const roles: DeviceRole[] = given.map((_, index) => ({ kind: 'given', index }));
  const sizes = [...given];
  const places: Place[] = [];
  const add = (blocks: number, ...added: readonly DeviceRole[]): void => {
    for (const role of added) {
      roles.push(role);
      sizes.push(blocks);
    }
  };

  if (files.length > 0 && roles.length % 2 === 0) add(0, { kind: 'landing', file: 0 }); // never read
  for (const [file, late] of files.entries()) {
    const blocks = Math.ceil(late.size / blockSize);
    if (blocks > maxBlocks) return undefined;
    places.push({ device: roles.length + 1, block: 0, chunkSize: late.chunkSize });
    add(blocks, { kind: 'landing', file }, { kind: 'data', file });
    if (endOf({ ...late, blockSize }) !== undefined)
      add(blocks, { kind: 'landing', file }, { kind: 'end', file });
    if (roles.length > maxDevices) return undefined;
  }
  return { devices: { blockSize, sizes }, roles, places };
}

/** Returns the maps of the late files of an image, by file; undefined for one that its tree does not have. */
export function chunkMapsOf(
  plan: ImagePlan,
  { places }: Pick<LateLayout, 'places'>,
): readonly (ChunkMap | undefined)[] {
  const { inodes } = plan.contents;
  const inodeOf = new Map(inodes.lateFiles().map(inode => [inodes.read(inode).device, inode]));
  return places.map(({ device }) => {
    const inode = inodeOf.get(device);
    return inode === undefined ? undefined : chunkMapOf(plan, inodes.read(inode));
  });
}
