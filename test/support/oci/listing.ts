import { createHash } from 'node:crypto';
import { closeSync, constants, lstatSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { getXattr, listXattrs } from '../../../src/linux/xattr.ts';

/** All that a pod can see of one path. */
export type Listed = {
  readonly type: 'directory' | 'file' | 'link' | 'other';
  readonly mode: string;
  readonly owner: string;
  /** Nanoseconds since 1970. */
  readonly mtime: bigint;
  readonly xattrs: Readonly<Record<string, string>>;
  /** Of a file or a link: filesystems give directories sizes of their own. */
  readonly size?: number;
  /** Of a link, its target; of a file, its sha256. */
  readonly content?: string;
  /** The first path of the same inode, if that is another one. */
  readonly sameAs?: string;
};

/** The listing of a directory and all that is in it, by path in the order of their bytes; `.` is the directory itself. */
export function listTree(directory: string): Readonly<Record<string, Listed>> {
  const first = new Map<bigint, string>();
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  const listed = ['.', ...names.toSorted()].map(name => [name, list(join(directory, name), name, first)]);
  return Object.fromEntries(listed) as Record<string, Listed>;
}

function list(path: string, name: string, first: Map<bigint, string>): Listed {
  const stats = lstatSync(path, { bigint: true });
  const type = stats.isDirectory()
    ? 'directory'
    : stats.isFile()
      ? 'file'
      : stats.isSymbolicLink()
        ? 'link'
        : 'other';
  const known = first.get(stats.ino);
  if (known === undefined) first.set(stats.ino, name);
  return {
    type,
    mode: (stats.mode & 0o7777n).toString(8),
    owner: `${stats.uid}:${stats.gid}`,
    mtime: stats.mtimeNs,
    xattrs: type === 'file' || type === 'directory' ? xattrsOf(path) : {},
    ...(type !== 'directory' && { size: Number(stats.size) }),
    ...(type === 'link' && { content: readlinkSync(path) }),
    ...(type === 'file' && { content: createHash('sha256').update(readFileSync(path)).digest('hex') }),
    ...(known !== undefined && { sameAs: known }),
  };
}

function xattrsOf(path: string): Readonly<Record<string, string>> {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const names = listXattrs(fd).toSorted();
    return Object.fromEntries(
      names.map(name => [name, Buffer.from(getXattr(fd, name) ?? []).toString('hex')]),
    );
  } finally {
    closeSync(fd);
  }
}
