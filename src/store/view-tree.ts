import {
  chmodSync,
  chownSync,
  linkSync,
  lchownSync,
  lutimesSync,
  mkdirSync,
  renameSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import type { Digest } from '../oci/digest.ts';
import { encodeName, quoteName } from '../oci/name.ts';
import type { Attributes } from '../oci/toc.ts';
import type { DirectoryNode, FileNode, SymlinkNode, TreeNode } from '../oci/tree.ts';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { offerXattr } from '../util/libc.ts';
import { copyFile } from './file-copy.ts';
import { startPace } from './pace.ts';

/** Where the files of views lie. */
export type Sources = {
  path(file: FileNode): string;
  /** Waits until what is of these layers is on the disk, and its path stays. @throws where it cannot be; the signal's reason. */
  settle(layers: readonly Digest[], signal: AbortSignal): Promise<void>;
};

/** A directory of a view under way. Its path is text as of oci/name.ts: names need not be UTF-8. */
type Place = { readonly path: string; readonly node: DirectoryNode };

/**
 * Makes the tree at `root`, where nothing is: directories, symlinks, and a hard link for each file. Works in slices
 * that leave the event loop free.
 * @returns the path of every directory of it, for a sync.
 * @throws `corrupt` where the cache lacks a file; the signal's reason.
 */
export async function raiseTree(
  root: string,
  tree: DirectoryNode,
  sources: Sources,
  signal: AbortSignal,
): Promise<readonly Buffer[]> {
  signal.throwIfAborted();
  const pace = startPace(signal);
  const linkOrCopy: LinkOrCopy = (file, at) => {
    try {
      linkSync(sources.path(file), at);
      return undefined;
    } catch (thrown) {
      if (errnoOf(thrown) !== 'EMLINK') throw thrown;
      return renew(file, at, `${root}.spare`, sources, signal);
    }
  };
  mkdirSync(root, 0o700);
  const places: Place[] = [{ path: root, node: tree }];
  for (const { path, node } of places) {
    for (const [name, child] of node.children) {
      const at = `${path}/${name}`;
      try {
        if (child.kind === 'directory') places.push({ path: at, node: child });
        const copying = makeNode(encodeName(at), child, linkOrCopy);
        if (copying !== undefined) await copying;
      } catch (thrown) {
        throw nodeError(at.slice(root.length), child, thrown);
      }
      const rest = pace();
      if (rest !== undefined) await rest;
    }
  }
  // From the last to the first, so that nothing changes a directory's time after it is set.
  const directories: Buffer[] = [];
  for (const { path, node } of places.toReversed()) {
    const directory = encodeName(path);
    await setDirectory(directory, node.attributes);
    directories.push(directory);
    const rest = pace();
    if (rest !== undefined) await rest;
  }
  return directories;
}

/** An inode has 65,000 links at most on ext4; a file that has them all is copied. */
type LinkOrCopy = (file: FileNode, at: Buffer) => Promise<void> | undefined;

function makeNode(at: Buffer, node: TreeNode, linkOrCopy: LinkOrCopy): Promise<void> | undefined {
  switch (node.kind) {
    case 'directory':
      mkdirSync(at, 0o700);
      return undefined;
    case 'symlink':
      makeSymlink(at, node);
      return undefined;
    case 'file':
      return linkOrCopy(node, at);
  }
}

function makeSymlink(at: Buffer, { target, attributes }: SymlinkNode): void {
  const mtime = new Date(attributes.mtime);
  symlinkSync(encodeName(target), at);
  lchownSync(at, attributes.uid, attributes.gid);
  lutimesSync(at, mtime, mtime);
}

/**
 * The cache keeps the copy in place of the file: else each name beyond the last link would cost the whole file again.
 * `spare`: a name beside the tree.
 */
async function renew(
  file: FileNode,
  at: Buffer,
  spare: string,
  sources: Sources,
  signal: AbortSignal,
): Promise<void> {
  await sources.settle([file.source.digest], signal);
  const from = sources.path(file);
  await copyFile(from, at);
  linkSync(at, spare);
  renameSync(spare, from);
}

async function setDirectory(path: Buffer, { mode, uid, gid, mtime, xattrs }: Attributes): Promise<void> {
  if (xattrs !== undefined) {
    await using directory = await open(path);
    for (const [name, value] of Object.entries(xattrs)) {
      offerXattr(directory.fd, name, Buffer.from(value, 'latin1')); // as of a file: what cannot be kept is left out
    }
  }
  const time = new Date(mtime);
  chownSync(path, uid, gid);
  chmodSync(path, mode);
  utimesSync(path, time, time);
}

function nodeError(path: string, node: TreeNode, thrown: unknown): unknown {
  const errno = errnoOf(thrown);
  const entry = `${node.layer}: ${quoteName(path)}`;
  if (errno === 'ENAMETOOLONG') {
    return new ArtifactError('unmountable', `${entry} has too long a path for this node's state dir`, thrown);
  }
  if (errno === 'ENOENT' && node.kind === 'file') {
    return new ArtifactError(
      'corrupt',
      `${entry}: the cache lost bytes of ${node.source.digest}; remove the artifact and pull it again`,
      thrown,
    );
  }
  return thrown;
}
