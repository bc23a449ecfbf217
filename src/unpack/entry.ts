import { decodeName } from '../oci/name.ts';
import type { Attributes, TocEntry } from '../oci/toc.ts';
import { parseHeaders, type PaxRecords } from './headers.ts';

/** What tar-stream says of an entry. Names are latin1, one character for each byte; with `pax` they may be text. */
export type TarHeader = {
  readonly name: string;
  readonly type: string | null;
  readonly linkname: string | null;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: Date;
  readonly pax?: unknown;
};

/** An entry whose body is still to come. */
export type FileHead = { readonly kind: 'file'; readonly path: string; readonly size: number } & Attributes;
export type EntryHead = FileHead | Exclude<TocEntry, { kind: 'file' }>;

const none: PaxRecords = new Map();

/**
 * An entry as the table of contents has it, its path and target not yet judged. `raw` are all its headers where there
 * is more than one, or the one that tar-stream does not know. `onDropped` hears of attributes that are not kept.
 *
 * @throws Error saying why there can be no such entry.
 */
export function toEntryHead(
  header: TarHeader,
  raw: Buffer | undefined,
  onDropped: (name: string) => void,
): EntryHead {
  const { typeflag, pax } = raw === undefined ? { typeflag: '', pax: none } : parseHeaders(raw);
  const sparse = [...pax.keys()].some(key => key.startsWith('GNU.sparse.'));
  if (sparse || typeflag === 'S') throw new Error('a sparse file; make the tar without --sparse');
  if (pax.has('size') && header.size !== decimal(pax, 'size', 0)) throw new Error('a PAX size of no meaning');
  const path = nameOf(pax.get('path'), header.name);
  const target = nameOf(pax.get('linkpath'), header.linkname ?? '');
  switch (typeOf(header, path)) {
    case 'file':
    case 'contiguous-file':
      return {
        kind: 'file',
        path,
        size: natural(header.size, Number.MAX_SAFE_INTEGER, 'a size'),
        ...toAttributes(header, pax, onDropped),
      };
    case 'directory': {
      const entry = { kind: 'directory', path, ...toAttributes(header, pax, onDropped) } as const;
      // A size of one that is called so is for quotas (POSIX pax, "ustar"): nobody takes it for data.
      return header.type === 'directory' ? entry : bodiless(header, entry);
    }
    case 'symlink': {
      // Linux keeps user attributes on files and directories alone (xattr(7)).
      const { mode, uid, gid, mtime } = toAttributes(header, none, onDropped);
      return bodiless(header, { kind: 'symlink', path, target, mode, uid, gid, mtime });
    }
    case 'link':
      return bodiless(header, { kind: 'link', path, target });
    case 'character-device':
      return bodiless(header, { kind: 'special', path, what: 'character device' });
    case 'block-device':
      return bodiless(header, { kind: 'special', path, what: 'block device' });
    case 'fifo':
      return bodiless(header, { kind: 'special', path, what: 'FIFO' });
    default:
      throw new Error(unknownTypes[typeflag] ?? `of the unknown type ${JSON.stringify(typeflag)}`);
  }
}

/** Before POSIX gave directories a type, a slash made them. */
function typeOf({ type }: TarHeader, path: string): string | null {
  return type === 'file' && path.endsWith('/') ? 'directory' : type;
}

/** Type flags that GNU tar and others use beyond POSIX, and that tar-stream does not know. */
const unknownTypes: Readonly<Record<string, string>> = {
  A: 'a Solaris access control list',
  D: 'an incremental dump of a directory; make the tar without --incremental',
  M: 'the continuation of a file of another volume; make the tar without --multi-volume',
  V: 'a volume label; make the tar without --label',
  X: 'a Solaris extended header; make the tar in the pax or ustar format',
};

/** Tars disagree on whether data follows such an entry, so it must claim none. */
function bodiless<T extends { readonly kind: string }>(header: TarHeader, entry: T): T {
  if (header.size === 0) return entry;
  throw new Error(`a ${entry.kind} of ${header.size} bytes, where none can be`);
}

function toAttributes(header: TarHeader, pax: PaxRecords, onDropped: (name: string) => void): Attributes {
  const attributes = {
    // Setuid and setgid end here.
    mode: natural(header.mode, 0o7777777, 'a mode') & 0o1777,
    uid: natural(decimal(pax, 'uid', header.uid), 0xfffffffe, 'an owner'),
    gid: natural(decimal(pax, 'gid', header.gid), 0xfffffffe, 'a group'),
    mtime: toTime(decimal(pax, 'mtime', header.mtime.getTime() / 1000)),
  };
  const xattrs = toXattrs(pax, onDropped);
  return xattrs === undefined ? attributes : { ...attributes, xattrs };
}

function toXattrs(
  pax: PaxRecords,
  onDropped: (name: string) => void,
): Readonly<Record<string, string>> | undefined {
  const kept: [string, string][] = [];
  for (const [key, value] of pax) {
    if (key.startsWith('SCHILY.xattr.user.')) kept.push([key.slice(13), value.toString('latin1')]);
    else if (key.startsWith('SCHILY.xattr.')) onDropped(key.slice(13));
    else if (key.startsWith('SCHILY.acl.') || key.startsWith('RHT.')) onDropped(key);
  }
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}

function nameOf(record: Buffer | undefined, latin1: string): string {
  if (record !== undefined && record.length > 0) return decodeName(record);
  return /[\x80-\xff]/.test(latin1) ? decodeName(Buffer.from(latin1, 'latin1')) : latin1;
}

/** A PAX record as a number; an empty one takes back what it stands for. NaN where it is none. */
function decimal(pax: PaxRecords, key: string, otherwise: number): number {
  const text = pax.get(key)?.toString('latin1') ?? '';
  if (text === '') return otherwise;
  return /^-?\d+(?:\.\d*)?$/.test(text) ? Number(text) : Number.NaN;
}

/** tar-stream reads -1 as -0. */
function natural(value: number, most: number, what: string): number {
  if (Number.isInteger(value) && value >= 0 && value <= most && !Object.is(value, -0)) return value;
  throw new Error(`${what} that Linux cannot have`);
}

/** Seconds to milliseconds, within what ext4 and XFS can keep; a time is never a reason to refuse. */
function toTime(seconds: number): number {
  return Number.isNaN(seconds) ? 0 : Math.min(Math.max(seconds, -(2 ** 31)), 2 ** 34 - 1) * 1000;
}
