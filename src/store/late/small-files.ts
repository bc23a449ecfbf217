import { closeSync, readSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { DirectoryNode, FileNode } from '../../tree/tree.ts';
import { ArtifactError } from '../../util/error.ts';
import { startPace } from '../../util/pace.ts';
import { openRegular } from '../../util/regular-file.ts';
import { copyInPool } from './layer-file.ts';

/** The files of a late view that are here before it is mounted, copied into one file, each at a block of its own. */
export type SmallFiles = {
  /** In blocks. */
  readonly size: number;
  blockOf(file: FileNode): number;
};

/** Copies all files of a tree that are not late into a new file. */
export async function packSmallFiles(
  to: string,
  tree: DirectoryNode,
  blockSize: number,
  pathOf: (file: FileNode) => string | undefined,
  signal: AbortSignal,
): Promise<SmallFiles> {
  const pace = startPace(signal);
  const blocks = new Map<string, number>();
  let size = 0;
  await using file = await open(to, 'wx', 0o600);
  const directories = [tree];
  for (const directory of directories) {
    for (const [, node] of directory.children) {
      if (node.kind === 'directory') directories.push(node);
      if (node.kind !== 'file' || blocks.has(keyOf(node))) continue;
      const from = pathOf(node);
      if (from === undefined) continue;
      blocks.set(keyOf(node), size);
      await copyFile(from, { fd: file.fd, at: size * blockSize }, node.size, signal);
      size += Math.max(1, Math.ceil(node.size / blockSize)); // empty files are files of their own, too
      const rest = pace();
      if (rest !== undefined) await rest;
    }
  }
  await file.truncate(size * blockSize); // the kernel reads whole blocks
  return {
    size,
    blockOf(file) {
      const block = blocks.get(keyOf(file));
      if (block !== undefined) return block;
      throw new ArtifactError('internal', `${file.layer}: a file of it was not copied`);
    },
  };
}

function keyOf({ source: { kind, digest }, body }: FileNode): string {
  return `${kind} ${digest} ${body}`;
}

const buffer = Buffer.alloc(256 * 1024);

/** Files larger than the buffer are copied in Node's pool: one may have 1 GiB. */
async function copyFile(
  path: string,
  to: { readonly fd: number; readonly at: number },
  size: number,
  signal: AbortSignal,
): Promise<void> {
  const fd = openRegular(path);
  try {
    const copied =
      size <= buffer.length
        ? copyAtOnce(fd, to.fd, to.at, size)
        : await copyInPool({ fd, at: 0 }, to, size, signal);
    if (copied < size)
      throw new ArtifactError('corrupt', `${path} has ${copied} bytes where ${size} were expected`);
  } finally {
    closeSync(fd);
  }
}

/** Returns how many bytes were copied: fewer if the file ends. */
function copyAtOnce(from: number, to: number, at: number, size: number): number {
  let done = 0;
  while (done < size) {
    const read = readSync(from, buffer, 0, size - done, done);
    if (read === 0) break;
    done += writeSync(to, buffer, 0, read, at + done); // a full disk takes a part, and fails the next write
  }
  return done;
}
