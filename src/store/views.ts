import { lstatSync, utimesSync } from 'node:fs';
import { open, readdir, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { DirectoryNode } from '../oci/tree.ts';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { createKeyedMutex } from '../util/mutex.ts';
import { unlessAbsent } from './absent.ts';
import { writeAside } from './atomic-file.ts';
import { attempt, toStoreError } from './failure.ts';
import { type Folder, openFolder } from './folder.ts';
import { parseFields } from './json-record.ts';
import type { Note } from './records.ts';
import type { Scratch } from './scratch.ts';
import { measureFolder } from './tree-size.ts';
import { parseView, type ViewRecord } from './view-record.ts';
import { raiseTree, type Sources } from './view-tree.ts';

/** `usedAt`: milliseconds since 1970; the sidecar's own mtime. */
export type View = ViewRecord & { readonly path: string; readonly usedAt: number };

/** Merged trees: `views/<key>/`, and the record beside it. A view counts when both are there and whole. */
export type Views = {
  find(key: string): Promise<View | undefined>;
  /** Calls `raised` when it has no more use for the tree, and waits for the disk. */
  build(record: ViewRecord, tree: DirectoryNode, signal: AbortSignal, raised?: () => void): Promise<View>;
  touch(key: string): Promise<void>;
  remove(key: string): Promise<void>;
  list(): Promise<readonly View[]>;
  /** Counts its tree again. Returns what is wrong with it, or undefined; its files are the blobs' and layers'. */
  check(key: string, signal: AbortSignal): Promise<string | undefined>;
  /** Trees that have no record: it is gone, torn or cannot be read. What is mounted may be among them. */
  listLost(): Promise<readonly string[]>;
  /** Gives such a tree its record again. One that is not there is left alone. */
  restore(record: ViewRecord): Promise<void>;
  /** Moves aside what is no tree and lies beside none. Only before anything else. */
  retireStrays(): Promise<void>;
};

export function openViews(folder: Folder, sources: Sources, scratch: Scratch, note: Note): Views {
  /** What was found or built, so that a publish of a cached view reads nothing. */
  const known = new Map<string, View>();
  const locks = createKeyedMutex();

  const treeOf = (key: string): string => join(folder.path, verifyKey(key));
  const sidecarOf = (key: string): string => `${treeOf(key)}${suffix}`;
  const touchSidecar = async (key: string, now: Date): Promise<void> => utimesSync(sidecarOf(key), now, now);

  async function find(key: string): Promise<View | undefined> {
    const path = treeOf(key);
    const present = isPresent(key);
    if (!present) known.delete(key);
    const view = known.get(key);
    if (view !== undefined || !present) return view;
    const read = await unlessAbsent(readSidecar(sidecarOf(key), key)).catch(noteUnreadable(sidecarOf(key)));
    if (read !== undefined) known.set(key, { ...read, path });
    return known.get(key);
  }

  const noteUnreadable = (path: string) => (thrown: unknown) =>
    note(`${path}, the record of a view, cannot be read (${errnoOf(thrown)}) and is passed over`);

  const isPresent = (key: string): boolean =>
    lstatSync(treeOf(key), { throwIfNoEntry: false })?.isDirectory() === true;

  const describe = (record: ViewRecord): Promise<void> =>
    writeAside(scratch.fresh(), sidecarOf(record.key), JSON.stringify(record), true);

  /** Notes a view whose tree and record are in their places. */
  async function settle(record: ViewRecord): Promise<View> {
    const { key } = record;
    await folder.sync();
    const view = { ...record, path: treeOf(key), usedAt: (await stat(sidecarOf(key))).mtimeMs };
    known.set(key, view);
    return view;
  }

  /** A tree that is there is whole, and may be mounted: it stays, and its record is written anew. */
  async function restore(record: ViewRecord): Promise<View> {
    await scratch.discard(sidecarOf(record.key)); // by its name, since it may be unreadable
    await describe(record);
    return settle(record);
  }

  async function build(
    record: ViewRecord,
    tree: DirectoryNode,
    signal: AbortSignal,
    raised: () => void,
  ): Promise<View> {
    const { key } = record;
    if (isPresent(key)) return restore(record);
    const aside = scratch.fresh();
    // As they are now: one that fails meanwhile may come again, with other files than those that are linked here.
    const settled = sources.settle(record.layers, signal);
    settled.catch(() => {});
    try {
      // Older than what is written, so that it is told of each failure.
      await using disk = await openFolder(folder.path);
      const directories = await raiseTree(aside, tree, sources, signal);
      raised();
      await settled;
      await sources.settle(record.layers, signal);
      await disk.syncAll(directories);
      signal.throwIfAborted();
      await describe(record);
      await rename(aside, treeOf(key));
      return await settle(record);
    } catch (thrown) {
      await scratch.discard(aside);
      await settled; // throws why files are not there
      throw signal.aborted ? thrown : toStoreError(`building the view of ${record.reference}`, thrown);
    }
  }

  /** It may have more: a file with all the links that an inode can have was copied. */
  async function check(view: View, signal: AbortSignal): Promise<string | undefined> {
    const found = await unlessAbsent(measureFolder(view.path, signal));
    if (found === undefined || !isPresent(view.key)) return undefined; // removed meanwhile
    const { bytes, inodes } = view;
    if (found.bytes >= bytes && found.inodes >= inodes) return undefined;
    return `it has ${found.inodes} inodes and ${found.bytes} bytes, not ${inodes} and ${bytes}`;
  }

  return {
    find: key => attempt(`looking for view ${key}`, () => find(key)),

    async build(record, tree, signal, raised = () => {}) {
      using _ = await locks.lock(record.key, signal);
      return (await find(record.key)) ?? (await build(record, tree, signal, raised));
    },

    touch: key =>
      attempt(`touching view ${key}`, async () => {
        const now = new Date();
        await unlessAbsent(touchSidecar(key, now));
        const view = known.get(key);
        if (view !== undefined) known.set(key, { ...view, usedAt: now.getTime() });
      }),

    remove: key =>
      attempt(`removing view ${key}`, async () => {
        using _ = await locks.lock(key, new AbortController().signal);
        known.delete(key);
        // The tree first: one without a record is taken for one that lost it.
        await scratch.discard(treeOf(key));
        await scratch.discard(sidecarOf(key));
      }),

    list: () =>
      attempt('listing the views', async () => {
        const views: View[] = [];
        for (const key of (await readdir(folder.path)).filter(isKey)) {
          const view = await find(key);
          if (view !== undefined) views.push(view);
        }
        return views;
      }),

    check: (key, signal) =>
      attempt(`checking view ${key}`, async () => {
        const view = await find(key);
        return view && check(view, signal);
      }),

    listLost: () =>
      attempt('looking for views without a record', async () => {
        const lost: string[] = [];
        for (const key of (await readdir(folder.path)).filter(isKey)) {
          if ((await find(key)) === undefined) lost.push(key);
        }
        return lost;
      }),

    restore: record =>
      attempt(`restoring the record of view ${record.key}`, async () => {
        if (isPresent(record.key)) await restore(record);
      }),

    retireStrays: async () => {
      for (const name of strays(await readdir(folder.path))) {
        await rename(join(folder.path, name), scratch.fresh());
      }
    },
  };
}

const suffix = '.json';

/** A key is a file name of ours that no sidecar and no path can be mistaken for. */
function isKey(text: string): boolean {
  return /^[0-9A-Za-z][0-9A-Za-z_-]{0,127}$/.test(text);
}

function verifyKey(key: string): string {
  if (isKey(key)) return key;
  throw new ArtifactError('internal', `"${key}" cannot be the key of a view`);
}

/** The names that are no tree's and no record's beside one. */
function strays(names: readonly string[]): readonly string[] {
  const sidecars = new Set(names.filter(isKey).map(key => `${key}${suffix}`));
  return names.filter(name => !isKey(name) && !sidecars.has(name));
}

async function readSidecar(
  path: string,
  key: string,
): Promise<(ViewRecord & { usedAt: number }) | undefined> {
  await using file = await open(path);
  const { mtimeMs } = await file.stat();
  const fields = parseFields(await file.readFile('utf8'));
  const record = fields === undefined ? undefined : parseView(fields, key);
  return record && { ...record, usedAt: mtimeMs };
}
