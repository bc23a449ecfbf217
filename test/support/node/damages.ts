import {
  chmodSync,
  copyFileSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * What is damaged: an entry of the state directory, and another one of its kind. `outside`: a path that does not exist.
 */
export type Place = { readonly path: string; readonly other: string; readonly outside: string };

/** Does nothing to entries that it does not fit. `at`: from 0 up to 1. */
type Damage = (place: Place, at: number) => void;

const isFile = (path: string): boolean => lstatSync(path).isFile();
const isDirectory = (path: string): boolean => lstatSync(path).isDirectory();

/** Writes to the inode, and resets its mtime. */
function write(path: string, change: (bytes: Buffer) => Buffer): void {
  if (!isFile(path)) return;
  const { atime, mtime } = lstatSync(path);
  writeFileSync(path, change(readFileSync(path)));
  utimesSync(path, atime, mtime);
}

function replace(path: string, change: (bytes: Buffer) => Buffer): void {
  if (!isFile(path)) return;
  const aside = join(dirname(dirname(path)), `${basename(path)}.aside`);
  copyFileSync(path, aside);
  writeFileSync(aside, change(readFileSync(path)));
  const { mode, uid, gid } = lstatSync(path);
  lchownSync(aside, uid, gid);
  chmodSync(aside, mode & 0o7777);
  renameSync(aside, path);
}

function flip(bytes: Buffer, at: number): Buffer {
  const index = Math.floor(at * bytes.length);
  if (bytes.length > 0) bytes[index] = (bytes[index] ?? 0) ^ 1;
  return bytes;
}

/** Moves it out, and leaves a symlink to it. */
function moveOut({ path, outside }: Place): void {
  renameSync(path, outside);
  symlinkSync(outside, path);
}

/** What a disk, a pod or a user may do to an entry. */
export const damages: Readonly<Record<string, Damage>> = {
  'a flipped byte': ({ path }, at) => write(path, bytes => flip(bytes, at)),
  'a cut': ({ path }, at) => write(path, bytes => bytes.subarray(0, Math.floor(at * bytes.length))),
  'more bytes': ({ path }) => write(path, bytes => Buffer.concat([bytes, Buffer.from('more')])),
  'another file of equal bytes': ({ path }) => replace(path, bytes => bytes),
  'another file of other bytes': ({ path }, at) => replace(path, bytes => flip(bytes, at)),
  'another mode': ({ path }) => {
    if (!lstatSync(path).isSymbolicLink()) chmodSync(path, 0o777);
  },
  'another owner': ({ path }) => lchownSync(path, 7, 8),
  'another time': ({ path }) => {
    if (isFile(path)) utimesSync(path, 1, 1);
  },
  'its removal': ({ path }) => rmSync(path, { recursive: true }),
  'another name': ({ path, outside }) => renameSync(path, `${path}.${basename(outside)}`),
  'a file beside it': ({ path }) => writeFileSync(`${path}.added`, 'added'),
  'a swap with another': ({ path, other }) => {
    if (path === other || path.startsWith(`${other}/`) || other.startsWith(`${path}/`)) return;
    renameSync(path, `${path}.swapped`);
    renameSync(other, path);
    renameSync(`${path}.swapped`, other);
  },
  'a symlink to it in its place': moveOut,
  'another target': ({ path }) => {
    if (!lstatSync(path).isSymbolicLink()) return;
    rmSync(path);
    symlinkSync('elsewhere', path);
  },
  'a directory in its place': ({ path }) => {
    if (isDirectory(path)) return;
    rmSync(path);
    mkdirSync(path);
  },
};
