import { type BigIntStats, lstatSync, opendirSync, readlinkSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Algorithm, algorithmOf, hexOf as digestHex } from '../../oci/digest.ts';
import type { EntryAttributes } from '../../tree/toc.ts';
import type { DirectoryNode, FileNode, TreeNode } from '../../tree/tree.ts';
import { decodeName, encodeName, quoteName } from '../../util/name.ts';
import { startPace } from '../../util/pace.ts';
import { hashFile } from '../files/file-hash.ts';

/**
 * `watched`: the paths whose unchanged stamp proves the tree unchanged, relative to its root: its directories, its
 * symlinks, and the files that are copies of those in the cache.
 */
export type Comparison = { readonly problem: string | undefined; readonly watched: readonly Buffer[] };

/** The mode of every blob, as views show it. */
const blobMode = 0o644;

/**
 * Compares a view with its expected tree: each name, type, mode, owner and link target, and that each file is the inode
 * of its blob or body, or a copy of it. A copy is valid because an inode may have reached its maximum of links, and
 * content that the cache lost is downloaded to a new inode. It works in slices that leave the event loop free.
 *
 * @throws the signal's reason.
 */
export async function compareTree(
  root: string,
  tree: DirectoryNode,
  pathOf: (file: FileNode) => string,
  signal: AbortSignal,
): Promise<Comparison> {
  const pace = startPace(signal);
  const isSame = createIdentity(signal);
  const watched: Buffer[] = [];
  let first: string | undefined;
  let wrong = 0;
  const note = (at: string, problem: string | undefined): void => {
    if (problem === undefined) return;
    first ??= `${quoteName(at.slice(1) || '.')} ${problem}`;
    wrong++;
  };

  const visits: (readonly [path: string, node: DirectoryNode])[] = [['', tree]];
  for (const [at, node] of visits) {
    const path = encodeName(`${root}${at}`);
    watched.push(encodeName(at));
    const own = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    if (own?.isDirectory() !== true) {
      note(at, own === undefined ? 'is missing' : 'is no directory');
      continue;
    }
    note(at, describeAttributes(own, node.attributes, true));
    // latin1, one character per byte: names need not be UTF-8.
    using entries = opendirSync(path, { encoding: 'latin1', bufferSize: 512 });
    for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
      const text = decodeName(Buffer.from(entry.name, 'latin1'));
      if (node.children.get(text) === undefined) note(`${at}/${text}`, 'does not belong there');
      const rest = pace();
      if (rest !== undefined) await rest;
    }
    for (const [name, child] of node.children) {
      const below = `${at}/${name}`;
      if (child.kind === 'directory') visits.push([below, child]);
      else {
        if (child.kind === 'symlink') watched.push(encodeName(below));
        const problem = await describe(encodeName(`${root}${below}`), child, pathOf, isSame, () =>
          watched.push(encodeName(below)),
        );
        note(below, problem);
      }
      const rest = pace();
      if (rest !== undefined) await rest;
    }
  }
  const more = wrong > 1 ? `, and ${wrong - 1} more are wrong` : '';
  return { problem: first === undefined ? undefined : `${first}${more}`, watched };
}

async function describe(
  path: Buffer,
  node: Exclude<TreeNode, DirectoryNode>,
  pathOf: (file: FileNode) => string,
  isSame: ReturnType<typeof createIdentity>,
  onCopy: () => void,
): Promise<string | undefined> {
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (found === undefined) return 'is missing';
  if (node.kind === 'symlink') {
    if (!found.isSymbolicLink()) return 'is no symlink';
    const target = readlinkSync(path, { encoding: 'buffer' });
    if (!target.equals(encodeName(node.target))) return `leads to ${quoteName(decodeName(target))}`;
    return describeAttributes(found, node.attributes, false);
  }
  if (!found.isFile()) return 'is no regular file';
  const identity = await isSame(node, pathOf(node), path, found);
  if (identity === 'copy') onCopy();
  return identity === 'other' ? 'is another file' : undefined;
}

function describeAttributes(
  found: BigIntStats,
  { mode, uid, gid }: EntryAttributes,
  hasMode: boolean,
): string | undefined {
  const has = Number(found.mode) & 0o7777;
  if (hasMode && has !== mode) return `has mode ${has.toString(8)}, not ${mode.toString(8)}`;
  if (Number(found.uid) === uid && Number(found.gid) === gid) return undefined;
  return `belongs to ${found.uid}:${found.gid}, not ${uid}:${gid}`;
}

/**
 * Whether a file is the inode of a source, or a copy with everything that a pod sees of it. The digest defines a blob's
 * copy, whatever has become of the blob. The layer defines a body's copy. An inode is read once.
 */
function createIdentity(signal: AbortSignal) {
  const copies = new Map<string, boolean>();
  const hasBytes = async ({ source }: FileNode, from: string, path: Buffer): Promise<boolean> => {
    if (source.kind === 'bodies') return (await hexOf('sha256', from)) === (await hexOf('sha256', path));
    return (await hexOf(algorithmOf(source.digest), path)) === digestHex(source.digest);
  };
  const hexOf = async (algorithm: Algorithm, path: string | Buffer): Promise<string> =>
    (await hashFile(path, algorithm, signal)).hex;

  return async (
    node: FileNode,
    from: string,
    path: Buffer,
    found: BigIntStats,
  ): Promise<'same' | 'copy' | 'other'> => {
    const there = lstatSync(from, { bigint: true, throwIfNoEntry: false });
    if (there?.ino === found.ino && there.dev === found.dev) return 'same';
    const isAlike = node.source.kind === 'blob' ? isLikeBlob(node, from, found) : isLike(there, found);
    if (!isAlike) return 'other';
    const key = `${from} ${found.ino}`;
    const known = copies.get(key) ?? (await hasBytes(node, from, path));
    copies.set(key, known);
    return known ? 'copy' : 'other';
  };
}

function isLike(one: BigIntStats | undefined, other: BigIntStats): boolean {
  return (['size', 'mode', 'uid', 'gid'] as const).every(field => one?.[field] === other[field]);
}

function isLikeBlob({ size }: FileNode, from: string, found: BigIntStats): boolean {
  const { uid, gid } = statSync(dirname(from), { bigint: true });
  const mode = Number(found.mode) & 0o7777;
  return Number(found.size) === size && mode === blobMode && found.uid === uid && found.gid === gid;
}
