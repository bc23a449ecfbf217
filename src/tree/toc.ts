import type { Digest } from '../oci/digest.ts';

/** Extended attributes kept of an entry: `user.*` names to values, each value latin1 (one character per byte). */
export type Xattrs = Readonly<Record<string, string>>;

/** `mode`: permission bits and sticky only, setuid and setgid already cleared. `mtime`: nanoseconds since 1970. */
export type EntryAttributes = {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: bigint;
  readonly xattrs?: Xattrs;
};

/**
 * One entry of a tar layer, in the tar's order. Paths and targets are as the tar has them, not yet normalised or
 * judged; bytes that are not UTF-8 are lone surrogates (util/name.ts). `body` numbers the file under which the store
 * keeps the content; `sha256` is hex.
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

/** What an entry says in words, in characters, which are bytes for nearly all names. */
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

/** The name of a table of contents in the folder of its layer; the bodies are beside it. */
export const tocName = 'toc';

/** Bodies lie in folders of so many: ext4 looks through a block of names for each new one, which is short in a small folder. */
export const bodiesPerFolder = 128;

/** The folder of a body in that of its layer. */
export function bodyFolder(body: number): string {
  return String(Math.floor(body / bodiesPerFolder));
}

/** Where a body lies in the folder of its layer. */
export function bodyName(body: number): string {
  return `${bodyFolder(body)}/${body}`;
}

/** What a tar layer holds, but for its entries: there may be a million of them, so they are never held all at once. */
export type TocSummary = {
  /** Of the layer as transferred. */
  readonly digest: Digest;
  /** Of the uncompressed tar (OCI image spec, config.md). */
  readonly diffId: Digest;
  /** Sum of all bodies, bytes. */
  readonly bytes: number;
  /** How many bodies there are; they are numbered from 0. */
  readonly bodies: number;
  /** Notes for the log, such as attributes that were dropped; at most a few lines. */
  readonly notes: readonly string[];
};
