import { type Arena, type Columns, createArena, createColumns, offsetIn } from '../tree/columns.ts';
import type { DirectoryNode, FileNode, SymlinkNode } from '../tree/tree.ts';
import { encodeName } from '../util/name.ts';
import { createFilesByPlace } from './files-by-place.ts';
import type { Place } from './format.ts';
import { createInodeTable, type InodeTable } from './inode-table.ts';
import { sortNames } from './name-order.ts';
import { compareNames, putName, putText } from './names.ts';

/** The inodes of a tree, and the entries of its directories: one directory after the other, each in order. */
export type Contents = {
  readonly inodes: InodeTable;
  readonly names: Arena;
  readonly entries: EntryTable;
  readonly targetOf: (inode: number) => Buffer;
};

/** 8 bytes an entry. */
export type EntryTable = {
  add(name: number, inode: number): void;
  /** The last entry was the last one of its directory. */
  endDirectory(): void;
  count(): number;
  nameOf(entry: number): number;
  inodeOf(entry: number): number;
  /** Whether it is the last one of its directory. */
  isLast(entry: number): boolean;
};

const lastFlag = 0x8000_0000;

function createEntryTable(): EntryTable {
  const columns: Columns = createColumns(2);
  let count = 0;
  return {
    add(name, inode) {
      columns.set(count, 0, name);
      columns.set(count++, 1, inode);
    },
    endDirectory: () => columns.set(count - 1, 1, columns.get(count - 1, 1) + lastFlag),
    count: () => count,
    nameOf: entry => columns.get(entry, 0),
    inodeOf: entry => columns.get(entry, 1) % lastFlag,
    isLast: entry => columns.get(entry, 1) >= lastFlag,
  };
}

/** A directory whose entries are not listed yet. */
type Visit = { readonly node: DirectoryNode; readonly inode: number; readonly parent: number };

/**
 * Lists a tree, level by level. Names of one place are links of one inode. It yields now and then.
 *
 * @param placeOf where the bytes of a file are.
 */
export function* listContents(
  root: DirectoryNode,
  placeOf: (file: FileNode) => Place,
): Generator<void, Contents> {
  const inodes = createInodeTable();
  const names = createArena();
  const entries = createEntryTable();
  const files = createFilesByPlace(inodes);
  const self = putName(names, Buffer.from('.'));
  const above = putName(names, Buffer.from('..'));

  const addFile = (file: FileNode): number => {
    const place = placeOf(file);
    const known = files.find(place);
    if (known !== undefined) {
      inodes.addLink(known);
      return known;
    }
    const inode = inodes.addFile(file.attributes, file.size, place);
    files.add(place, inode);
    return inode;
  };

  const addSymlink = ({ target, attributes }: SymlinkNode): number => {
    const bytes = encodeName(target);
    const address = names.take(bytes.length);
    names.page(address).set(bytes, offsetIn(address));
    return inodes.addSymlink(attributes, address, bytes.length);
  };

  let level: Visit[] = [{ node: root, inode: inodes.addDirectory(root.attributes), parent: 0 }];
  while (level.length > 0) {
    const next: Visit[] = [];
    for (const { node, inode, parent } of level) {
      const addresses: number[] = [];
      const numbers: number[] = [];
      for (const [name, child] of node.children) {
        addresses.push(putText(names, name));
        if (child.kind === 'file') numbers.push(addFile(child));
        else if (child.kind === 'symlink') numbers.push(addSymlink(child));
        else {
          const below = inodes.addDirectory(child.attributes);
          inodes.addLink(inode);
          next.push({ node: child, inode: below, parent: inode });
          numbers.push(below);
        }
        if (inodes.count() % batch === 0) yield;
      }
      inodes.setFirstEntry(inode, entries.count());
      const own = [
        { name: self, inode },
        { name: above, inode: parent },
      ];
      for (const position of yield* sortNames(names, addresses)) {
        const name = addresses[position] ?? 0;
        for (let [next] = own; next !== undefined && compareNames(names, next.name, name) < 0; [next] = own) {
          entries.add(next.name, next.inode);
          own.shift();
        }
        entries.add(name, numbers[position] ?? 0);
        if (entries.count() % batch === 0) yield;
      }
      for (const { name, inode: to } of own) entries.add(name, to);
      entries.endDirectory();
    }
    level = next;
  }

  return {
    inodes,
    names,
    entries,
    targetOf(inode) {
      const address = inodes.targetOf(inode);
      return names.page(address).subarray(offsetIn(address), offsetIn(address) + inodes.read(inode).size);
    },
  };
}

/** The inodes, or the entries, between two yields. */
const batch = 64;
