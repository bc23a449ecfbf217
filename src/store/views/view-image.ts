import { createHash, randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isImageName, writeImage } from '../../erofs/image.ts';
import { type ImagePlan, planImage } from '../../erofs/image-plan.ts';
import { type Digest, hexOf, toDigest } from '../../oci/digest.ts';
import type { Look, View, ViewImage, ViewRecord } from '../../ports/store.ts';
import { placeOf, tarBlock } from '../../tree/toc.ts';
import type { DirectoryNode, FileNode } from '../../tree/tree.ts';
import { ArtifactError } from '../../util/error.ts';
import { quoteName } from '../../util/name.ts';
import { doInSlices, startPace } from '../../util/pace.ts';
import { openRegular, writeAll } from '../../util/regular-file.ts';
import { howToMend } from '../files/failure.ts';
import { findDamage } from '../integrity/damage.ts';
import type { Comparison } from './view-compare.ts';
import { isImagePath } from './view-places.ts';
import type { Own } from './view-tree.ts';

/** A file that has bodies of a layer; `size` in bytes. */
type LayerFile = { readonly name: string; readonly size: number; readonly path: string };

/** The files of layers that are stored as their tar. */
export type ImageSources = {
  dataFiles(digest: Digest): readonly LayerFile[] | undefined;
  /** Whether they can be read past the page cache. */
  readonly isDirect: boolean;
};

/** Returns the view of a record, whose tree or image is at a path; undefined for an image without all of its layers. */
export function toView(
  record: ViewRecord & { readonly usedAt: number },
  path: string,
  sources: ImageSources,
): View | undefined {
  if (!isImagePath(path)) return { ...record, path };
  const image = readImage(path, record, sources);
  return image && { ...record, path, image };
}

/** Whether all files of its image are there, and those of its layers are the ones that it was made over. */
export function isWhole({ image, deviceInodes }: View): boolean {
  return image === undefined || (existsSync(image.file) && areSame(image.devices, deviceInodes));
}

function areSame(devices: readonly string[], inodes: ViewRecord['deviceInodes']): boolean {
  return devices.every((path, at) => {
    const ino = inodeOf(path);
    return ino !== undefined && (inodes === undefined || ino === inodes[at]);
  });
}

/** That of what is at the path; undefined if nothing is. */
export function inodeOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.ino;
}

/**
 * Returns the image in the directory of a view, and its devices: the files of its layers, in their order. Undefined if
 * one of them is not there, or is another file: the mount of the image would go on to show the one that it was made
 * over. A damaged view is not mounted again, nor is a late one, and needs none.
 */
function readImage(
  directory: string,
  { layers, damage, late, bytes, inodes, deviceInodes }: ViewRecord,
  sources: ImageSources,
): ViewImage | undefined {
  const name = readdirSync(directory).find(isImageName);
  const isMounted = damage !== undefined || late === true;
  const devices = (isMounted ? [] : devicesOf(layers, sources))?.map(({ path }) => path);
  if (name === undefined || devices === undefined || !areSame(devices, deviceInodes)) return undefined;
  const isDirect = sources.isDirect && bytes >= inodes * worthDirect;
  return { file: join(directory, name), devices, isDirect };
}

/**
 * The mean size of files from which the bytes in devices are not cached beside those of the image. 512 MiB in one file
 * were read in 0.6 s so, and in 2.6 s with twice the memory otherwise; files of 4 KiB took twice the CPU time.
 */
const worthDirect = 64 * 1024;

type Device = LayerFile & { readonly digest: Digest };

function devicesOf(layers: readonly Digest[], sources: ImageSources): readonly Device[] | undefined {
  const devices: Device[] = [];
  for (const digest of layers) {
    const files = sources.dataFiles(digest);
    if (files === undefined) return undefined;
    for (const file of files) devices.push({ ...file, digest });
  }
  return devices;
}

/** @throws `corrupt` if the cache lacks a layer. */
async function plan(
  tree: DirectoryNode,
  layers: readonly Digest[],
  sources: ImageSources,
  signal: AbortSignal,
): Promise<ImagePlan> {
  const devices = devicesOf(layers, sources) ?? [];
  const numbers = new Map(layers.map(digest => [digest, new Map<string, number>()] as const));
  for (const [index, { digest, name }] of devices.entries()) numbers.get(digest)?.set(name, index + 1);
  const place = ({ source, body, layer }: FileNode): { device: number; block: number } => {
    const { file, block } = placeOf(body);
    const device = numbers.get(source.digest)?.get(file);
    if (device !== undefined) return { device, block };
    throw new ArtifactError('corrupt', `${layer}: the cache lost bytes of ${source.digest}; ${howToMend}`);
  };
  const sizes = devices.map(({ size }) => size / tarBlock);
  return doInSlices(planImage(tree, { blockSize: tarBlock, sizes }, place), signal);
}

/** Writes the image of a tree into a new directory. Returns the paths that prove it unchanged, and its sha256. */
export async function raiseImage(
  directory: string,
  tree: DirectoryNode,
  layers: readonly Digest[],
  sources: ImageSources,
  signal: AbortSignal,
): Promise<Own & Required<Pick<ViewRecord, 'imageDigest' | 'deviceInodes'>>> {
  const own = await writeImageFile(directory, await plan(tree, layers, sources, signal), signal);
  const deviceInodes = (devicesOf(layers, sources) ?? []).map(({ path }) => inodeOf(path) ?? 0);
  return { ...own, deviceInodes };
}

/**
 * Writes an image into a new directory, under a name of its own: lists of mounts show the name, although the directory
 * may be renamed.
 */
export async function writeImageFile(
  directory: string,
  planned: ImagePlan,
  signal: AbortSignal,
): Promise<Own & Required<Pick<ViewRecord, 'imageDigest'>>> {
  mkdirSync(directory, directoryMode);
  const file = join(directory, randomUUID());
  const fd = openSync(file, 'wx', imageMode);
  const sha256 = createHash('sha256');
  try {
    const pace = startPace(signal);
    for (const slice of writeImage(planned)) {
      sha256.update(slice);
      writeAll(fd, slice);
      const rest = pace();
      if (rest !== undefined) await rest;
    }
  } finally {
    closeSync(fd);
  }
  const directories = [directory, file].map(path => Buffer.from(path));
  const imageDigest = toDigest('sha256', sha256.digest('hex'));
  return { directories, symlinks: [], imageDigest };
}

/** Compares the image of a view with the one that a tree must have. */
export async function compareImage(
  view: View | undefined,
  tree: DirectoryNode,
  sources: ImageSources,
  signal: AbortSignal,
): Promise<Comparison> {
  if (view?.image === undefined) return { problem: 'it lost its layers, or its image', watched: [] };
  const { file } = view.image;
  const misplaced = await checkImage(view, 'inode', signal);
  if (misplaced !== undefined) return { problem: misplaced, watched: [] };
  const planned = await plan(tree, view.layers, sources, signal);
  const watched = ['', file.slice(view.path.length)].map(text => Buffer.from(text));
  return { problem: await findDifference(file, writeImage(planned), signal), watched };
}

/** Verifies the image of a view, and its bytes if its digest is recorded. Undefined also for a tree. */
export async function checkImage(view: View, look: Look, signal: AbortSignal): Promise<string | undefined> {
  const { path, image, imageDigest } = view;
  if (image === undefined) return undefined;
  const { uid, gid } = statSync(dirname(path));
  const own = lstatSync(path);
  if (own.uid !== uid || own.gid !== gid || (own.mode & 0o7777) !== directoryMode)
    return 'the directory of its image has another mode or owner';
  const stray = readdirSync(path).find(name => name !== basename(image.file));
  if (stray !== undefined) return `${quoteName(stray)} does not belong beside its image`;
  const hex = imageDigest === undefined ? '' : hexOf(imageDigest);
  const wanted = { algorithm: 'sha256', hex, mode: imageMode, uid, gid } as const;
  const damage = await findDamage(image.file, wanted, hex === '' ? 'inode' : look, signal);
  return damage && `its image ${damage.problem}`;
}

const [directoryMode, imageMode] = [0o700, 0o600];

async function findDifference(
  path: string,
  slices: Iterable<Buffer>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const pace = startPace(signal);
  const fd = openRegular(path);
  try {
    let at = 0;
    for (const slice of slices) {
      const found = Buffer.alloc(slice.length);
      const length = readSync(fd, found, 0, found.length, at);
      if (length < slice.length || !found.equals(slice)) return 'its image is not that of its layers';
      at += length;
      const rest = pace();
      if (rest !== undefined) await rest;
    }
    return readSync(fd, Buffer.alloc(1), 0, 1, at) === 0
      ? undefined
      : 'its image has more bytes than it must';
  } finally {
    closeSync(fd);
  }
}
