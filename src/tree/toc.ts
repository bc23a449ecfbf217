import type { Digest } from '../oci/digest.ts';

/** The kept extended attributes of an entry: `user.*` names to values, each value latin1 (one character per byte). */
export type Xattrs = Readonly<Record<string, string>>;

/** The namespace of the attributes that are kept. */
export const userPrefix = 'user.';
/** The most bytes of the full name of an attribute (xattr(7)), and of its value: an image counts these in 16 bits. */
const maxXattrName = 255;
const maxXattrValue = 0xffff;
/** The most bytes of all attributes of an entry, as `sizeOfXattr` counts: an image counts four of them in 16 bits. */
export const maxXattrs: number = 4 * (0xffff - 1);

/**
 * Returns the bytes of an attribute in an image: four, its name after `user.`, and its value, in units of four. Undefined
 * for one that no image can have. A name of `user.` alone is listed by the kernel, and cannot be read.
 */
export function sizeOfXattr(name: string, valueBytes: number): number | undefined {
  const nameBytes = Buffer.byteLength(name);
  if (!name.startsWith(userPrefix) || name === userPrefix) return undefined;
  if (nameBytes > maxXattrName || valueBytes > maxXattrValue) return undefined;
  return 4 * Math.ceil((4 + nameBytes - userPrefix.length + valueBytes) / 4);
}

/** The most characters of a path or target. Linux follows 4,096 bytes, to which a longer text may be normalized. */
export const maxPathText: number = 64 * 1024;

/** `mode`: permission bits and sticky only, with setuid and setgid cleared. `mtime`: nanoseconds since 1970. */
export type EntryAttributes = {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: bigint;
  readonly xattrs?: Xattrs;
};

/**
 * One entry of a tar layer, in the tar's order. Paths and targets are as in the tar, neither normalized nor verified;
 * bytes that are not UTF-8 are lone surrogates (util/name.ts). `body` is the number of the file in which the store
 * keeps the content, or of the block where it begins (`placeOf`); `sha256` is hex, and empty in a layer that is stored
 * as its tar.
 */
export type TocEntry =
  | ({ readonly kind: 'directory'; readonly path: string } & EntryAttributes)
  | ({
      readonly kind: 'file';
      readonly path: string;
      readonly size: number;
      readonly body: number;
      readonly sha256: string;
    } & EntryAttributes)
  | ({ readonly kind: 'symlink'; readonly path: string; readonly target: string } & EntryAttributes)
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  | {
      readonly kind: 'special';
      readonly path: string;
      readonly what: 'character device' | 'block device' | 'FIFO' | 'socket';
    };

/** Returns the length of an entry's texts in characters, which are bytes for nearly all names. */
export function sizeOfNames(entry: {
  readonly path: string;
  readonly target?: string;
  readonly xattrs?: Xattrs;
}): number {
  let size = entry.path.length + (entry.target?.length ?? 0);
  if (entry.xattrs === undefined) return size;
  for (const [name, value] of Object.entries(entry.xattrs)) size += name.length + value.length;
  return size;
}

/** The most of these, for a layer and for all layers of an artifact: they are held in memory. */
export const maxNameBytes: number = 128 * 1024 * 1024;

/** The form in which a layer is stored: unpacked into a file for each body, or as its tar with nothing extracted. */
export type LayerForm = 'bodies' | 'tar';

/**
 * A file of a layer that is stored as its tar, padded with zeros to a block: the tar itself, or the bodies of its sparse
 * files, which a tar has without their holes. `sha256` is hex, with the padding.
 */
export type DataFile = { readonly name: 'tar' | 'sparse'; readonly size: number; readonly sha256: string };

/** The blocks of a tar, by which its bodies are numbered. */
export const tarBlock = 512;
/** Bodies from this number on are in the file of sparse ones. */
const firstSparse = 2 ** 31;
/** The maximum bytes of a tar whose bodies can be numbered. */
export const maxTar: number = firstSparse * tarBlock;

/** The number of a body that begins at a block of a file. */
export function toBody(file: DataFile['name'], block: number): number {
  return file === 'tar' ? block : firstSparse + block;
}

/** Where a body begins. */
export function placeOf(body: number): { readonly file: DataFile['name']; readonly block: number } {
  return body < firstSparse ? { file: 'tar', block: body } : { file: 'sparse', block: body - firstSparse };
}

/**
 * The properties of a tar layer without its entries: there may be a million of them, so they are never in memory at
 * once.
 */
export type TocSummary = {
  /** The digest of the layer as transferred. */
  readonly digest: Digest;
  /** The digest of the uncompressed tar (OCI image spec, config.md). */
  readonly diffId: Digest;
  /** The sum of all bodies in bytes. */
  readonly bytes: number;
  /** The number of bodies. */
  readonly bodies: number;
  /** The files of a layer that is stored as its tar; absent for one that is stored as bodies. */
  readonly files?: readonly DataFile[];
  /** Messages for the log, such as attributes that were dropped; at most a few lines. */
  readonly notes: readonly string[];
};
