import { randomBytes, randomUUID } from 'node:crypto';
import { close } from 'node:fs';
import { type FileHandle, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type ChunkMap, chunkEntries } from '../erofs/chunk-map.ts';
import { writeImage } from '../erofs/image.ts';
import { planImage } from '../erofs/image-plan.ts';
import { chunkMapsOf, layOutLateFiles } from '../erofs/late-files.ts';
import { type OpenDirectory, statDirectory } from '../linux/directory.ts';
import { createErofsMountInThread } from '../linux/erofs.ts';
import { rereadErofs } from '../linux/erofs-metadata.ts';
import { toDigest } from '../oci/digest.ts';
import type { Landings, TriedLandings } from '../ports/landing.ts';
import type { OpenFile } from '../ports/late-views.ts';
import { blobAttributes, type DirectoryNode, plainAttributes } from '../tree/tree.ts';
import { errnoOf } from '../util/error.ts';
import { doAtOnce } from '../util/pace.ts';

/** The landings of this node, or why it has none. */
export type LandingSupport<L extends Landings = Landings> =
  | { readonly kind: 'on'; readonly landings: L & Pick<TriedLandings, 'keepsMaps'> }
  | { readonly kind: 'off'; readonly reason: string };

/**
 * Opens landings, and tests whether this kernel shows late files as they must be: it is not asked for its version.
 *
 * @param directory on the filesystem of images. A few files are made in it, and removed.
 */
export async function tryLandings<L extends Landings>(
  directory: string,
  open: () => Promise<L>,
): Promise<LandingSupport<L>> {
  await using stack = new AsyncDisposableStack();
  try {
    const landings = stack.use(await open());
    const found = await inTime(examine(landings, directory));
    if (found.kind === 'unfit') return { kind: 'off', reason: found.reason };
    stack.move();
    return { kind: 'on', landings: Object.assign(landings, { keepsMaps: found.keepsMaps }) };
  } catch (thrown) {
    return { kind: 'off', reason: reasons[errnoOf(thrown) ?? ''] ?? String(thrown) };
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENODEV: 'this kernel has no FUSE, or no EROFS',
  ENOTBLK: 'this kernel, or the filesystem of the state directory, mounts EROFS from block devices only',
};

/** Milliseconds that a kernel without problems does not need. */
const patienceMs = 10_000;

async function inTime(examination: Promise<Examined>): Promise<Examined> {
  const silence = Promise.withResolvers<Examined>();
  const timer = setTimeout(silence.resolve, patienceMs, unfit('the kernel did not answer in time'));
  try {
    return await Promise.race([examination, silence.promise]);
  } finally {
    clearTimeout(timer);
  }
}

const chunkSize = 2 ** 20;
/** The bytes of one come when they are asked for; those of the next are lost, and those of the last never come. */
const chunks = { late: 0, lost: 1, never: 2 } as const;
const size = 3 * chunkSize;
const page = 4096;

/** What the kernel does wrong, or whether it keeps the maps of images. */
type Examined =
  | { readonly kind: 'unfit'; readonly reason: string }
  | { readonly kind: 'fit'; readonly keepsMaps: boolean };

function unfit(reason: string): Examined {
  return { kind: 'unfit', reason };
}

export async function examine(landings: Landings, directory: string): Promise<Examined> {
  await using stack = new AsyncDisposableStack();
  const [imagePath, dataPath] = [join(directory, randomUUID()), join(directory, randomUUID())];
  const { slices, map } = smallImage();
  stack.defer(() => rm(imagePath, { force: true }));
  await writeFile(imagePath, slices, { flag: 'wx' });
  stack.defer(() => rm(dataPath, { force: true }));
  const data = stack.use(await open(dataPath, 'wx+'));
  const image = stack.use(await open(imagePath, 'r+'));
  const content = randomBytes(page);
  for (const at of [0, chunkSize / 2, chunkSize - page]) await data.write(content, 0, page, at); // and nothing after that
  const asked = new Set<number>();
  const bring = async (offset: number): Promise<OpenFile> => {
    const chunk = Math.floor(offset / chunkSize);
    asked.add(chunk);
    if (chunk !== chunks.late) throw new Error('it never comes');
    return { fd: data.fd, [Symbol.dispose]() {} };
  };
  const landing = landings.add({ size, bring }, imagePath);
  const devices = [landing.path, landing.path, dataPath];
  const mount = await createErofsMountInThread({ image: imagePath, devices });
  stack.defer(() => closeInPool(mount.fd));
  const file = stack.use(await open(`/proc/self/fd/${mount.fd}/${name}`, 'r'));
  stack.use(landing);

  const isContent = async (offset: number): Promise<boolean> =>
    (await readPage(file, offset)) === content.toString('latin1');
  if (!(await isContent(0)) || !asked.has(chunks.late))
    return unfit('the kernel does not ask for missing bytes');
  if ((await readPage(file, chunks.never * chunkSize)) !== 'EIO')
    return unfit('the kernel gives no error for bytes that are refused');
  /** A page that was read is kept, so that each can be looked at once. */
  const isSeen = async (offset: number): Promise<boolean> => {
    asked.clear();
    return (await isContent(offset)) && asked.size === 0;
  };
  await show(image, map, chunks.late, chunks.lost);
  const keepsMaps = !(await isSeen(chunkSize - page));
  if (keepsMaps) {
    const problem = await reread(imagePath, mount);
    if (problem !== undefined) return unfit(problem);
    if (!(await isSeen(chunkSize / 2)))
      return unfit(
        'the kernel does not see that bytes have come, also when it is made to read the map again',
      );
  }
  if ((await readPage(file, chunks.lost * chunkSize)) !== 'EIO')
    return unfit(
      'the kernel shows zeros for bytes that a file lacks, which Linux 7.0 and later fixes of older ones mend',
    );
  return { kind: 'fit', keepsMaps };
}

/** Returns why that is not possible. */
async function reread(image: string, mount: OpenDirectory): Promise<string | undefined> {
  try {
    await rereadErofs(image, statDirectory(mount).device);
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    const advice = errnoOf(thrown) === 'EROFS' ? '; mount /sys for writing where the daemon runs' : '';
    return `the kernel keeps the map of an image, and cannot be made to read it again: ${why}${advice}`;
  }
}

const closeInPool = promisify(close);

async function show(image: FileHandle, map: ChunkMap, from: number, last: number): Promise<void> {
  const { at, bytes } = chunkEntries(map, { from, to: last + 1, isPresent: true });
  await image.write(bytes, 0, bytes.length, at);
}

/** Returns the bytes as latin1, or the errno. It is read in the pool: the main thread is what brings the bytes. */
async function readPage(file: FileHandle, offset: number): Promise<string> {
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(page), 0, page, offset);
    return buffer.toString('latin1', 0, bytesRead);
  } catch (thrown) {
    return errnoOf(thrown) ?? String(thrown);
  }
}

const name = 'late';

function smallImage(): { readonly slices: readonly Buffer[]; readonly map: ChunkMap } {
  const source = { kind: 'blob', digest: toDigest('sha256', '0'.repeat(64)) } as const;
  const layer = 'the probe';
  const file = { kind: 'file', source, body: 0, size, attributes: blobAttributes, layer } as const;
  const children = new Map([[name, file]]);
  const root: DirectoryNode = { kind: 'directory', children, attributes: plainAttributes, layer };
  const layout = layOutLateFiles({ blockSize: 512, sizes: [] }, [{ size, chunkSize }]);
  const [place] = layout?.places ?? [];
  if (layout === undefined || place === undefined) throw new Error('the probe is too large');
  const plan = doAtOnce(planImage(root, layout.devices, () => place));
  const [map] = chunkMapsOf(plan, layout);
  if (map === undefined) throw new Error('the probe has no chunks');
  return { slices: Array.from(writeImage(plan), slice => Buffer.from(slice)), map };
}
