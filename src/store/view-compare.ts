import { type BigIntStats, lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { decodeName, encodeName, quoteName } from '../oci/name.ts';
import type { Attributes } from '../oci/toc.ts';
import type { DirectoryNode, FileNode, TreeNode } from '../oci/tree.ts';
import { startPace } from '../util/pace.ts';
import { hashFile } from './file-hash.ts';

/**
 * `watched`: what speaks for the tree while it does not move, as paths below its root: its directories, and the files that
 * are copies of those in the cache.
 */
export type Comparison = { readonly problem: string | undefined; readonly watched: readonly Buffer[] };

/**
 * Compares a view with the tree that it must be: each name, type, mode, owner and link target, and that each file is the
 * inode of its blob or body, or a copy of it: an inode may have all the links it can have, and what the cache lost it has anew. In slices that leave the event
 * loop free. @throws the signal's reason.
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

  const places: (readonly [path: string, node: DirectoryNode])[] = [['', tree]];
  for (const [at, node] of places) {
    const path = encodeName(`${root}${at}`);
    watched.push(encodeName(at));
    const own = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    if (own?.isDirectory() !== true) {
      note(at, own === undefined ? 'is missing' : 'is no directory');
      continue;
    }
    note(at, describeAttributes(own, node.attributes, true));
    for (const name of readdirSync(path, { encoding: 'buffer' })) {
      const text = decodeName(name);
      if (node.children.get(text) === undefined) note(`${at}/${text}`, 'does not belong there');
    }
    for (const [name, child] of node.children) {
      const below = `${at}/${name}`;
      if (child.kind === 'directory') places.push([below, child]);
      else {
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
  const identity = await isSame(pathOf(node), path, found);
  if (identity === 'copy') onCopy();
  return identity === 'other' ? 'is another file' : undefined;
}

function describeAttributes(
  found: BigIntStats,
  { mode, uid, gid }: Attributes,
  hasMode: boolean,
): string | undefined {
  const has = Number(found.mode) & 0o7777;
  if (hasMode && has !== mode) return `has mode ${has.toString(8)}, not ${mode.toString(8)}`;
  if (Number(found.uid) === uid && Number(found.gid) === gid) return undefined;
  return `belongs to ${found.uid}:${found.gid}, not ${uid}:${gid}`;
}

/** Whether a file is a source's inode, or a copy of it with all that a pod sees of it. An inode is read once. */
function createIdentity(signal: AbortSignal) {
  const copies = new Map<string, boolean>();
  return async (source: string, path: Buffer, found: BigIntStats): Promise<'same' | 'copy' | 'other'> => {
    const wanted = lstatSync(source, { bigint: true, throwIfNoEntry: false });
    if (wanted === undefined) return 'other';
    if (wanted.ino === found.ino && wanted.dev === found.dev) return 'same';
    const isAlike = (['size', 'mode', 'uid', 'gid'] as const).every(field => wanted[field] === found[field]);
    if (!isAlike) return 'other';
    const key = `${wanted.ino} ${found.ino}`;
    const known = copies.get(key) ?? (await hexOf(source, signal)) === (await hexOf(path, signal));
    copies.set(key, known);
    return known ? 'copy' : 'other';
  };
}

async function hexOf(path: string | Buffer, signal: AbortSignal): Promise<string> {
  return (await hashFile(path, 'sha256', signal)).hex;
}
