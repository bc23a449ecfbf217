import { type EntryAttributes, maxPathText, maxXattrs, sizeOfXattr, type TocEntry } from '../tree/toc.ts';
import { decodeName } from '../util/name.ts';
import type { Header, PaxRecords } from './headers.ts';

/** The header data of one entry. GNU's long names are undefined if there are none. */
export type Headers = {
  readonly header: Header;
  readonly pax: PaxRecords;
  readonly longName: string | undefined;
  readonly longLink: string | undefined;
};

/** An entry whose body follows. `size` includes the holes of a sparse file. */
export type FileHead = {
  readonly kind: 'file';
  readonly path: string;
  readonly size: number;
} & EntryAttributes;
export type EntryHead = FileHead | Exclude<TocEntry, { kind: 'file' }>;

/**
 * Makes an entry of the table of contents, as Go's archive/tar parses it; path and target are not verified yet.
 * `onDropped` is called with attributes that are not kept.
 *
 * @throws Error with the reason why the entry is invalid.
 */
export function toEntryHead(headers: Headers, onDropped: (name: string) => void): EntryHead {
  const { header, pax } = headers;
  const path = pathOf(headers);
  const target = headers.longLink ?? nameOf(pax.get('linkpath')) ?? header.linkname;
  if (path.length > maxPathText) throw new Error(`a path of more than ${maxPathText} characters`);
  if (target.length > maxPathText) throw new Error(`a target of more than ${maxPathText} characters`);
  switch (typeOf(header, path)) {
    case '0':
    case '7':
    case 'S':
      return { kind: 'file', path, size: sizeOf(headers), ...toAttributes(header, pax, onDropped) };
    case '5':
      return { kind: 'directory', path, ...toAttributes(header, pax, onDropped) };
    case '2':
      // Linux keeps user attributes on files and directories alone (xattr(7)).
      return { kind: 'symlink', path, target, ...toStat(header, pax) };
    case '1':
      return { kind: 'link', path, target };
    case '3':
      return { kind: 'special', path, what: 'character device' };
    case '4':
      return { kind: 'special', path, what: 'block device' };
    case '6':
      return { kind: 'special', path, what: 'FIFO' };
    default:
      throw new Error(
        unknownTypes[header.typeflag] ?? `of the unknown type ${JSON.stringify(header.typeflag)}`,
      );
  }
}

export function pathOf({ header, pax, longName }: Headers): string {
  return nameOf(pax.get('GNU.sparse.name')) ?? longName ?? nameOf(pax.get('path')) ?? header.name;
}

/** Bytes that follow the header. Only files have any, whatever the header says. */
export function sizeOf({ header, pax }: Headers): number {
  return natural(decimal(pax, 'size', header.size), Number.MAX_SAFE_INTEGER, 'a size');
}

/** Before POSIX, files had no type, and a slash marked directories. */
function typeOf({ typeflag }: Header, path: string): string {
  if (typeflag !== '\0') return typeflag;
  return path.endsWith('/') ? '5' : '0';
}

/** Type flags that GNU tar and others use beyond POSIX. */
const unknownTypes: Readonly<Record<string, string>> = {
  A: 'a Solaris access control list',
  D: 'an incremental dump of a directory; make the tar without --incremental',
  M: 'the continuation of a file of another volume; make the tar without --multi-volume',
  V: 'a volume label; make the tar without --label',
  X: 'a Solaris extended header; make the tar in the pax or ustar format',
};

function toAttributes(header: Header, pax: PaxRecords, onDropped: (name: string) => void): EntryAttributes {
  const stat = toStat(header, pax);
  const xattrs = toXattrs(pax, onDropped);
  return xattrs === undefined ? stat : { ...stat, xattrs };
}

function toStat(header: Header, pax: PaxRecords): Omit<EntryAttributes, 'xattrs'> {
  return {
    // Setuid and setgid are cleared here.
    mode: natural(header.mode, 0o7777777, 'a mode') & 0o1777,
    uid: natural(decimal(pax, 'uid', header.uid), 0xfffffffe, 'an owner'),
    gid: natural(decimal(pax, 'gid', header.gid), 0xfffffffe, 'a group'),
    mtime: toMtime(header, pax),
  };
}

function toXattrs(
  pax: PaxRecords,
  onDropped: (name: string) => void,
): Readonly<Record<string, string>> | undefined {
  if (pax.size === 0) return undefined;
  const kept: [string, string][] = [];
  let size = 0;
  for (const [key, value] of pax) {
    if (key.startsWith('SCHILY.xattr.')) {
      const name = key.slice('SCHILY.xattr.'.length);
      const bytes = sizeOfXattr(name, value.length);
      if (bytes !== undefined && size + bytes <= maxXattrs) {
        kept.push([name, value.toString('latin1')]);
        size += bytes;
      } else onDropped(name);
    } else if (key.startsWith('SCHILY.acl.') || key.startsWith('RHT.')) onDropped(key);
  }
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}

/** An empty record resets its field. */
function nameOf(record: Buffer | undefined): string | undefined {
  return record === undefined || record.length === 0 ? undefined : decodeName(record);
}

/** Parses a PAX record as a number; NaN if it is none. */
function decimal(pax: PaxRecords, key: string, otherwise: number): number {
  const text = pax.get(key)?.toString('latin1') ?? '';
  if (text === '') return otherwise;
  return /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
}

function natural(value: number, most: number, what: string): number {
  if (Number.isInteger(value) && value >= 0 && value <= most) return value;
  throw new Error(`${what} that Linux cannot have`);
}

function toMtime({ mtime }: Header, pax: PaxRecords): bigint {
  const text = pax.get('mtime')?.toString('latin1') ?? '';
  const isOrdinary = mtime >= 0 && mtime <= 0xffff_ffff;
  return text === '' && isOrdinary ? BigInt(mtime) * second : toTime(text || String(mtime));
}

/** The range of ext4 and XFS, in seconds. */
const [earliest, latest] = [-(2n ** 31n), 2n ** 34n - 1n];
const second = 1_000_000_000n;

/** Converts seconds with fractions to nanoseconds; a time is never a reason to refuse. */
function toTime(text: string): bigint {
  const {
    sign,
    whole = '',
    fraction = '',
  } = /^(?<sign>-?)(?<whole>\d+)(?:\.(?<fraction>\d*))?$/.exec(text)?.groups ?? {};
  if (whole === '') return 0n;
  const far = whole.length > 12;
  const size = far
    ? 2n ** 40n * second
    : BigInt(whole) * second + BigInt(fraction.slice(0, 9).padEnd(9, '0'));
  const time = sign === '-' ? -size : size;
  if (time < earliest * second) return earliest * second;
  return time > latest * second ? latest * second : time;
}
