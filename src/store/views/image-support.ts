import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeImage } from '../../erofs/image.ts';
import { planImage } from '../../erofs/image-plan.ts';
import { createErofsMount, type ErofsFiles } from '../../linux/erofs.ts';
import { longestSource } from '../../linux/fs-context.ts';
import { toDigest } from '../../oci/digest.ts';
import { tarBlock } from '../../tree/toc.ts';
import { blobAttributes, type DirectoryNode, type FileNode, plainAttributes } from '../../tree/tree.ts';
import { errnoOf, isFullDisk } from '../../util/error.ts';
import { doAtOnce } from '../../util/pace.ts';
import type { Scratch } from '../files/scratch.ts';
import { isImagePath } from './view-places.ts';

/**
 * Whether views can be images. `off`: why not; undefined if they can. `isDirect`: whether the disk gives bytes past the
 * page cache from any block of a tar; one with sectors of 4096 bytes does not.
 */
export type ImageSupport = { readonly off: string | undefined; readonly isDirect: boolean };

/** The longest name of an image below the state directory. */
const longestName = 200;

/** Tests it with a small image over a file of the state directory, which is mounted where nobody sees it. */
export function probeImages(scratch: Pick<Scratch, 'isClosed' | 'fresh'>, stateDir: string): ImageSupport {
  const off = (reason: string): ImageSupport => ({ off: reason, isDirect: false });
  if (scratch.isClosed) return off('the state directory is only read');
  if (Buffer.byteLength(stateDir) + longestName > longestSource)
    return off('the path of the state directory is too long');
  const [image, device] = [scratch.fresh(), scratch.fresh()];
  try {
    const bytes = Buffer.alloc((blockOfContent + 1) * tarBlock);
    bytes.write(content, blockOfContent * tarBlock);
    writeFileSync(device, bytes, { flag: 'wx' });
    writeFileSync(image, Buffer.concat(Array.from(smallImage(), slice => Buffer.from(slice))), {
      flag: 'wx',
    });
    if (!isShown({ image, devices: [device] })) return off('the kernel shows other bytes');
    return { off: undefined, isDirect: isShownDirectly({ image, devices: [device] }) };
  } catch (thrown) {
    // Without images, those that are there would count as lost.
    if (isFullDisk(thrown) && hasImages(join(stateDir, 'views'))) return { off: undefined, isDirect: false };
    return off(reasons[errnoOf(thrown) ?? ''] ?? errnoOf(thrown) ?? String(thrown));
  } finally {
    rmSync(image, { force: true });
    rmSync(device, { force: true });
  }
}

/** Whether an earlier process, which had room to test it, has made images. */
function hasImages(views: string): boolean {
  try {
    return readdirSync(views).some(isImagePath);
  } catch {
    return false;
  }
}

function isShown(files: ErofsFiles): boolean {
  using mount = createErofsMount(files);
  return readFileSync(join('/proc/self/fd', String(mount.fd), name), 'latin1') === content;
}

function isShownDirectly(files: ErofsFiles): boolean {
  try {
    return isShown({ ...files, isDirect: true });
  } catch {
    return false;
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENODEV: 'this kernel has no EROFS',
  ENOTBLK: 'this kernel, or the filesystem of the state directory, mounts EROFS from block devices only',
};

const [name, content] = ['probe', 'bytes of the device'];
/** Tars have bodies at any block of theirs; this one begins no page. */
const blockOfContent = 1;

function smallImage(): Generator<Buffer> {
  const source = { kind: 'tar', digest: toDigest('sha256', '0'.repeat(64)) } as const;
  const layer = 'the probe';
  const size = content.length;
  const file: FileNode = { kind: 'file', source, body: 0, size, attributes: blobAttributes, layer };
  const children = new Map([[name, file]]);
  const root: DirectoryNode = { kind: 'directory', children, attributes: plainAttributes, layer };
  return writeImage(
    doAtOnce(
      planImage(root, { blockSize: tarBlock, sizes: [blockOfContent + 1] }, () => ({
        device: 1,
        block: blockOfContent,
      })),
    ),
  );
}

/** Whether views are images, and if not, why. */
export function formatSupport({ off }: Pick<ImageSupport, 'off'>): string {
  return `EROFS views: ${off === undefined ? 'on' : `off (${off}); views are trees of hard links`}`;
}
