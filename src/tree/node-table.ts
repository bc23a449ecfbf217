import { decodeName, encodeName } from '../util/name.ts';
import { createArena, createColumns, maxRecord, offsetIn } from './columns.ts';
import type { EntryAttributes, Xattrs } from './toc.ts';
import type { FileNode, SymlinkNode } from './tree.ts';

/** A device, FIFO or socket: it replaces what was there, and is not visible. */
export type SpecialNode = { readonly kind: 'special'; readonly layer: string };
/** Anything but a directory. */
export type Leaf = FileNode | SymlinkNode | SpecialNode;
export type Kind = Leaf['kind'] | 'directory';

/**
 * The nodes of a name table's numbers, in columns and bytes: 16 bytes for a file, and 26 for attributes that differ from
 * those of the node before.
 */
export type NodeTable = {
  /** Undefined if nothing was ever set. */
  kindOf(number: number): Kind | undefined;
  putLeaf(number: number, leaf: Leaf): void;
  /** Copies a leaf to another name. */
  copyLeaf(from: number, to: number): void;
  putDirectory(number: number, attributes: EntryAttributes, layer: string): void;
  leafOf(number: number): Leaf;
  /** The target of a symlink. */
  targetOf(number: number): string;
  /** The attributes of a directory, file or symlink. */
  attributesOf(number: number): EntryAttributes;
  /** The label of its layer. */
  layerOf(number: number): string;
};

const kinds = [undefined, 'file', 'symlink', 'directory', 'special'] as const;
/** The kind; the address of the attributes, or the layer of a special node; the body or target; the size. */
const [kindAt, referenceAt, contentAt, sizeAt] = [0, 1, 2, 3];
const tooLarge = 0xffff_ffff;

/** The label of a layer, and the source of its files. */
type Origin = { readonly layer: string; readonly source: FileNode['source'] | undefined };

/** What a record of attributes says. */
type Described = {
  readonly record: number;
  readonly attributes: EntryAttributes;
  readonly origin: Origin | undefined;
};

export function createNodeTable(): NodeTable {
  const columns = createColumns(4);
  const arena = createArena();
  const origins: Origin[] = [];
  /** Rare, and large. */
  const xattrs = new Map<number, Xattrs>();
  const largeSizes = new Map<number, number>();
  let shared:
    | { readonly attributes: EntryAttributes; readonly origin: number; readonly record: number }
    | undefined;

  const kindOf = (number: number): Kind | undefined => kinds[columns.get(number, kindAt)];

  function put(number: number, kind: Kind, reference: number, content = 0, size = 0): void {
    columns.set(number, kindAt, kinds.indexOf(kind));
    columns.set(number, referenceAt, reference);
    columns.set(number, contentAt, content);
    columns.set(number, sizeAt, Math.min(size, tooLarge));
    if (size >= tooLarge) largeSizes.set(number, size);
  }

  /** Layers come one after the other. */
  function originNumber(layer: string, source?: FileNode['source']): number {
    const last = origins.at(-1);
    const isLast = last?.layer === layer && (source === undefined || last.source === source);
    if (!isLast) origins.push({ layer, source });
    return origins.length - 1;
  }

  /** One record for equal neighbors, which are common. */
  function putAttributes(attributes: EntryAttributes, origin: number): number {
    if (shared !== undefined && shared.origin === origin && isAlike(shared.attributes, attributes))
      return shared.record;
    const record = arena.take(recordLength);
    const [page, at] = [arena.page(record), offsetIn(record)];
    page.writeUInt16LE(attributes.mode, at);
    page.writeUInt32LE(attributes.uid, at + 2);
    page.writeUInt32LE(attributes.gid, at + 6);
    page.writeUInt32LE(origin, at + 10);
    const seconds = floorDiv(attributes.mtime, second);
    page.writeDoubleLE(Number(seconds), at + 14);
    page.writeUInt32LE(Number(attributes.mtime - seconds * second), at + 22);
    if (attributes.xattrs !== undefined) xattrs.set(record, attributes.xattrs);
    shared = { attributes, origin, record };
    return record;
  }

  /** The last record that was read: neighbors often have the same. */
  let read: Described | undefined;

  function describe(number: number): Described {
    const record = columns.get(number, referenceAt);
    return read?.record === record ? read : (read = readRecord(record));
  }

  function readRecord(record: number): Described {
    const page = arena.page(record);
    const at = offsetIn(record);
    const own = {
      mode: page.readUInt16LE(at),
      uid: page.readUInt32LE(at + 2),
      gid: page.readUInt32LE(at + 6),
      mtime: BigInt(page.readDoubleLE(at + 14)) * second + BigInt(page.readUInt32LE(at + 22)),
    };
    const attached = xattrs.get(record);
    const attributes = attached === undefined ? own : { ...own, xattrs: attached };
    return { record, attributes, origin: origins[page.readUInt32LE(at + 10)] };
  }

  const attributesOf = (number: number): EntryAttributes => describe(number).attributes;

  function putText(text: string): number {
    const bytes = encodeName(text);
    if (bytes.length > maxRecord - 2) throw new RangeError('a target of more than 4 KiB');
    const record = arena.take(2 + bytes.length);
    const [page, at] = [arena.page(record), offsetIn(record)];
    page.writeUInt16LE(bytes.length, at);
    bytes.copy(page, at + 2);
    return record;
  }

  function targetOf(number: number): string {
    const record = columns.get(number, contentAt);
    const [page, at] = [arena.page(record), offsetIn(record)];
    return decodeName(page.subarray(at + 2, at + 2 + page.readUInt16LE(at)));
  }

  function originOf(number: number): Origin | undefined {
    return kindOf(number) === 'special' ? origins[columns.get(number, referenceAt)] : describe(number).origin;
  }

  const layerOf = (number: number): string => originOf(number)?.layer ?? '';

  function fileOf(number: number): FileNode {
    const { attributes, origin } = describe(number);
    const { source, layer } = origin ?? {};
    if (source === undefined || layer === undefined) throw new RangeError(`${number} is no file`);
    const size = columns.get(number, sizeAt);
    return {
      kind: 'file',
      source,
      layer,
      body: columns.get(number, contentAt),
      size: size === tooLarge ? (largeSizes.get(number) ?? size) : size,
      attributes,
    };
  }

  return {
    kindOf,
    attributesOf,
    targetOf,
    layerOf,
    putLeaf(number, leaf) {
      const origin = originNumber(leaf.layer, leaf.kind === 'file' ? leaf.source : undefined);
      if (leaf.kind === 'special') return put(number, 'special', origin);
      const attributes = putAttributes(leaf.attributes, origin);
      if (leaf.kind === 'file') put(number, 'file', attributes, leaf.body, leaf.size);
      else put(number, 'symlink', attributes, putText(leaf.target));
    },
    copyLeaf(from, to) {
      for (const column of [kindAt, referenceAt, contentAt, sizeAt])
        columns.set(to, column, columns.get(from, column));
      const size = largeSizes.get(from);
      if (size !== undefined) largeSizes.set(to, size);
    },
    putDirectory: (number, attributes, layer) =>
      put(number, 'directory', putAttributes(attributes, originNumber(layer))),
    leafOf(number) {
      const kind = kindOf(number);
      if (kind === 'file') return fileOf(number);
      const layer = layerOf(number);
      if (kind !== 'symlink') return { kind: 'special', layer };
      return { kind, target: targetOf(number), attributes: attributesOf(number), layer };
    },
  };
}

/** mode, owner, group, layer, seconds, nanoseconds */
const recordLength = 2 + 4 + 4 + 4 + 8 + 4;
const second = 1_000_000_000n;

function isAlike(one: EntryAttributes, other: EntryAttributes): boolean {
  return (
    one.mode === other.mode &&
    one.uid === other.uid &&
    one.gid === other.gid &&
    one.mtime === other.mtime &&
    one.xattrs === undefined &&
    other.xattrs === undefined
  );
}

/** BigInt division truncates towards 0. */
function floorDiv(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value < 0n && quotient * by !== value ? quotient - 1n : quotient;
}

/** Whether two leaves look the same. */
export function isSameLeaf(below: Leaf, above: Leaf): boolean {
  if (below.kind === 'file' && above.kind === 'file')
    return below.source.digest === above.source.digest && below.body === above.body;
  return below.kind === 'symlink' && above.kind === 'symlink' && below.target === above.target;
}
