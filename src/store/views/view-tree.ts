import { chmodSync, chownSync, lchownSync, linkSync, mkdirSync, renameSync, symlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { setTime } from '../../linux/stat.ts';
import { offerXattr } from '../../linux/xattr.ts';
import type { EntryAttributes } from '../../tree/toc.ts';
import type { DirectoryNode, FileNode, SymlinkNode, TreeNode } from '../../tree/tree.ts';
import { ArtifactError, errnoOf } from '../../util/error.ts';
import { encodeName, quoteName } from '../../util/name.ts';
import { type Pace, startPace } from '../../util/pace.ts';
import { startHelper, type Thread } from '../../util/thread.ts';
import { howToMend } from '../files/failure.ts';
import { copyFile } from '../files/file-copy.ts';
import { despiteFlags } from '../files/scratch.ts';

/** The paths of files that views link to. */
export type ViewContents = {
  path(file: FileNode): string;
  /** Called when a copy has replaced a file in the cache. */
  copied(file: FileNode): void;
};

/** A directory of a view that is being built. Its path is text as of util/name.ts: names need not be UTF-8. */
type Visit = { readonly path: string; readonly node: DirectoryNode };

/** The part of a tree that is not linked: the paths of its directories and symlinks. */
export type Own = { readonly directories: readonly Buffer[]; readonly symlinks: readonly Buffer[] };

/**
 * Builds the tree at `root`, which must not exist: directories, symlinks, and a hard link for each file. It works in
 * slices that leave the event loop free.
 *
 * @throws `corrupt` if the cache lacks a file; the signal's reason.
 */
export async function raiseTree(
  root: string,
  tree: DirectoryNode,
  sources: ViewContents,
  signal: AbortSignal,
): Promise<Own> {
  signal.throwIfAborted();
  const pace = startPace(signal);
  await using links = openLinks<FileNode>();
  mkdirSync(root, 0o700);
  const visits: Visit[] = [{ path: root, node: tree }];
  const symlinks: Buffer[] = [];
  for (const { path, node } of visits) {
    for (const [name, child] of node.children) {
      const at = `${path}/${name}`;
      try {
        if (child.kind === 'file') links.add({ of: child, from: sources.path(child), at });
        else if (child.kind === 'symlink') symlinks.push(makeSymlink(encodeName(at), child));
        else {
          mkdirSync(encodeName(at), 0o700);
          visits.push({ path: at, node: child });
        }
      } catch (thrown) {
        throw nodeError(at.slice(root.length), child, thrown);
      }
      const rest = pace();
      if (rest !== undefined) await rest;
    }
  }
  for (const { of, at } of await links.finish()) {
    try {
      await linkOrCopy(of, encodeName(at), `${root}.spare`, sources);
    } catch (thrown) {
      throw nodeError(at.slice(root.length), of, thrown);
    }
    const rest = pace();
    if (rest !== undefined) await rest;
  }
  // From the last to the first, so that nothing changes a directory's time after it is set.
  const directories: Buffer[] = [];
  for (const { path, node } of visits.toReversed()) {
    const directory = encodeName(path);
    await setDirectory(directory, node.attributes, pace);
    directories.push(directory);
    const rest = pace();
    if (rest !== undefined) await rest;
  }
  return { directories, symlinks };
}

function makeSymlink(at: Buffer, { target, attributes }: SymlinkNode): Buffer {
  symlinkSync(encodeName(target), at);
  lchownSync(at, attributes.uid, attributes.gid);
  setTime(at, attributes.mtime);
  return at;
}

/**
 * Retries links that failed for a reason that may pass: the inode of the file has the maximum of links, 65,000 on ext4.
 * The cache then replaces such a file by a copy: else each name beyond the last link would cost the whole file again.
 * `spare`: a name beside the tree.
 */
async function linkOrCopy(file: FileNode, at: Buffer, spare: string, sources: ViewContents): Promise<void> {
  try {
    despiteFlags([sources.path(file)], () => linkSync(sources.path(file), at));
  } catch (thrown) {
    if (errnoOf(thrown) !== 'EMLINK') throw thrown;
    const from = sources.path(file);
    await copyFile(from, at);
    linkSync(at, spare);
    renameSync(spare, from);
    sources.copied(file);
  }
}

async function setDirectory(
  path: Buffer,
  { mode, uid, gid, mtime, xattrs }: EntryAttributes,
  pace: Pace,
): Promise<void> {
  if (xattrs !== undefined) {
    await using directory = await open(path);
    for (const [name, value] of Object.entries(xattrs)) {
      offerXattr(directory.fd, name, Buffer.from(value, 'latin1')); // as with a file: attributes that cannot be kept are omitted
      const rest = pace();
      if (rest !== undefined) await rest;
    }
  }
  chownSync(path, uid, gid);
  chmodSync(path, mode);
  setTime(path, mtime);
}

function nodeError(path: string, node: TreeNode, thrown: unknown): unknown {
  const errno = errnoOf(thrown);
  const entry = `${node.layer}: ${quoteName(path)}`;
  if (errno === 'ENAMETOOLONG') {
    return new ArtifactError(
      'unmountable',
      `${entry} has too long a path for the state directory of this node`,
      thrown,
    );
  }
  if (errno === 'ENOENT' && node.kind === 'file') {
    return new ArtifactError(
      'corrupt',
      `${entry}: the cache lost bytes of ${node.source.digest}; ${howToMend}`,
      thrown,
    );
  }
  return thrown;
}

/** A hard link to make. `at` is text as of util/name.ts. */
export type Link<Of> = { readonly of: Of; readonly from: string; readonly at: string };

/**
 * Makes hard links, in any order. A second thread takes part if there are thousands: 50,000 of them take one thread 0.6
 * s. Disposing it ends the second thread.
 */
export type Links<Of> = AsyncDisposable & {
  add(link: Link<Of>): void;
  /** Returns the links that could not be made, when the others exist. */
  finish(): Promise<readonly Link<Of>[]>;
};

/** The links in one batch, about 3 ms. */
const batchLinks = 256;
/** The maximum batches of the second thread: the current one and the next. */
const ahead = 2;
/** The links after which it is started; the start takes as long as 3,000 links. */
const worthAThread = 4096;

export function openLinks<Of>(): Links<Of> {
  const failed: Link<Of>[] = [];
  const underWay = new Set<Promise<void>>();
  let batch: Link<Of>[] = [];
  let made = 0;
  let thread: Thread<string, readonly number[]> | undefined;
  let failure: { readonly thrown: unknown } | undefined;

  function makeHere(links: readonly Link<Of>[]): void {
    for (const link of links) {
      try {
        linkSync(link.from, encodeName(link.at));
      } catch {
        failed.push(link);
      }
    }
  }

  async function makeThere(links: readonly Link<Of>[], there: NonNullable<typeof thread>): Promise<void> {
    try {
      const indexes = await there.ask(links.map(({ from, at }) => `${from}\0${at}`).join('\0'));
      failed.push(...links.filter((_, index) => indexes.includes(index)));
    } catch (thrown) {
      failure ??= { thrown };
    }
  }

  function flush(): void {
    const links = batch;
    batch = [];
    made += links.length;
    if (made < worthAThread || underWay.size === ahead) return makeHere(links);
    thread ??= startHelper(import.meta.url, 'link-worker');
    if (thread === undefined) return makeHere(links);
    const making = makeThere(links, thread).finally(() => underWay.delete(making));
    underWay.add(making);
  }

  return {
    add(link) {
      batch.push(link);
      if (batch.length === batchLinks) flush();
    },
    async finish() {
      makeHere(batch);
      batch = [];
      await Promise.all(underWay);
      if (failure !== undefined) throw failure.thrown;
      return failed;
    },
    async [Symbol.asyncDispose]() {
      await thread?.[Symbol.asyncDispose]();
    },
  };
}
