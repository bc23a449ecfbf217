import { renameSync, utimesSync } from 'node:fs';
import { rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { BuildOptions, View, ViewRecord, Views } from '../../ports/store.ts';
import type { DirectoryNode } from '../../tree/tree.ts';
import { never } from '../../util/abortable.ts';
import { ArtifactError } from '../../util/error.ts';
import { createKeyedMutex } from '../../util/mutex.ts';
import { startPace } from '../../util/pace.ts';
import { unlessAbsent } from '../files/absent.ts';
import { writeAside } from '../files/atomic-file.ts';
import type { Directory } from '../files/directory.ts';
import { attempt, howToMend, toStoreError } from '../files/failure.ts';
import { despiteFlags, type Scratch } from '../files/scratch.ts';
import { formatStored, type Unsynced } from '../files/unsynced.ts';
import type { EvidenceStore } from '../integrity/evidence.ts';
import type { RecordWarning } from '../records/records.ts';
import { containsInode } from './tree-inodes.ts';
import { compareTree } from './view-compare.ts';
import { checkImage, compareImage, type ImageSources, raiseImage } from './view-image.ts';
import { createViewIndex, itemsOf } from './view-index.ts';
import { isImagePath, keysOf, openPlaces, strays } from './view-places.ts';
import { openViewReader } from './view-reader.ts';
import { openShape, readShape } from './view-shape.ts';
import { raiseTree, type ViewContents } from './view-tree.ts';

/**
 * Merged trees: `views/<key>/`, or an image in `views/<key>.erofs/`, and the record beside it. A view exists if both are
 * there and complete, and an image has all its layers.
 */
export type ViewStore = Views & {
  /** Returns the keys of all that is there, complete or not, without reading it. */
  keys(): Promise<readonly string[]>;
  /** Returns trees without a record, which is missing or unreadable. Some may be mounted. */
  listLost(): Promise<readonly string[]>;
  /** Writes the record of such a tree again. Returns whether it is a view then. */
  restore(record: ViewRecord): Promise<boolean>;
  /** Moves aside names that are neither trees nor belong to one. To be called before anything else. */
  retireStrays(): Promise<void>;
};

export function openViews(
  directory: Directory,
  sources: ViewContents & ImageSources,
  scratch: Scratch,
  witness: Pick<EvidenceStore, 'relink'>,
  note: RecordWarning,
  unsynced: Pick<Unsynced, 'place' | 'forget'>,
): ViewStore {
  /** The views found or built, so that a publish of a cached view reads nothing. */
  const known = createViewIndex<View>();
  let isComplete = false;
  const locks = createKeyedMutex();

  const places = openPlaces(directory.path);
  const reader = openViewReader(places, sources, note);
  const nameOf = (key: string): string => formatStored({ kind: 'views', key });
  const writable = openShape(key => places.find(key) ?? places.tree(key), places.shape, scratch.fresh);
  const shape = scratch.isClosed ? readShape(writable) : writable;
  const touch = async (key: string, now: Date): Promise<void> => utimesSync(places.record(key), now, now);

  async function find(key: string): Promise<View | undefined> {
    const path = reader.place(key);
    const view = known.get(key);
    if (view !== undefined && view.path === path && reader.isWhole(view)) return view;
    known.delete(key);
    if (path === undefined) return undefined;
    const read = await reader.record(key);
    const found = read && reader.view(read, path);
    if (found) known.set(found);
    return found;
  }

  const findAll = async (keys: readonly string[]): Promise<readonly View[]> => {
    const views: View[] = [];
    const pace = startPace(never);
    for (const key of keys) {
      const view = await find(key);
      if (view !== undefined) views.push(view);
      await pace();
    }
    return views;
  };

  const list = async (): Promise<readonly View[]> => findAll(keysOf(await directory.list()));

  const writeRecord = (record: ViewRecord, durable = true): Promise<void> =>
    writeAside(scratch.fresh(), places.record(record.key), JSON.stringify(record), durable);

  /** Registers a view whose tree and record are at their paths. Undefined for an image that lacks a file. */
  async function settle(record: ViewRecord): Promise<View | undefined> {
    const read = { ...record, usedAt: (await stat(places.record(record.key))).mtimeMs };
    const view = reader.view(read, reader.place(record.key) ?? places.tree(record.key));
    if (view !== undefined) known.set(view);
    return view;
  }

  /** What exists may be mounted: it stays, and its record is rewritten. An image may lack a file: undefined. */
  async function restore(record: ViewRecord): Promise<View | undefined> {
    await scratch.discard(places.record(record.key)); // by its name, because it may be unreadable
    await writeRecord(record);
    await directory.sync();
    return settle(record);
  }

  async function build(
    record: ViewRecord,
    tree: DirectoryNode,
    signal: AbortSignal,
    { form = 'bodies', raised, raiseLate }: BuildOptions,
  ): Promise<View> {
    const { key } = record;
    const present = reader.place(key) && (await restore(record));
    if (present) return present;
    const aside = scratch.fresh();
    try {
      const isImage = form === 'tar' || raiseLate !== undefined;
      const { directories, symlinks, ...image } = isImage
        ? await (raiseLate?.(aside) ?? raiseImage(aside, tree, record.layers, sources, signal))
        : await witness.relink(itemsOf(record), () => raiseTree(aside, tree, sources, signal));
      raised?.();
      signal.throwIfAborted();
      for (const place of [places.tree(key), places.image(key)]) await scratch.discard(place); // what is there is not a view
      const to = isImage ? places.image(key) : places.tree(key);
      const below = Buffer.byteLength(aside);
      const own = [...directories, ...symlinks].map(path => path.subarray(below));
      const at = (path: Buffer): Buffer => Buffer.concat([Buffer.from(to), path]);
      const paths = [...own.slice(0, directories.length).map(at), places.record(key), directory.path];
      await writeRecord({ ...record, ...image }, false);
      await unsynced.place(nameOf(key), () => renameSync(aside, to), paths);
      const view = await settle({ ...record, ...image });
      if (view === undefined) throw new ArtifactError('corrupt', `view ${key} lost its layers; ${howToMend}`);
      await shape.write(key, own, signal);
      return view;
    } catch (thrown) {
      await scratch.discard(aside);
      throw signal.aborted ? thrown : toStoreError(`building the view of ${record.reference}`, thrown);
    }
  }

  return {
    find: key => attempt(`looking for view ${key}`, () => find(key)),

    async build(record, tree, signal, options = {}) {
      using _ = await locks.lock(record.key, signal);
      return (await find(record.key)) ?? (await build(record, tree, signal, options));
    },

    touch: key =>
      attempt(`touching view ${key}`, async () => {
        const now = new Date();
        await unlessAbsent(touch(key, now));
        const view = known.get(key);
        if (view !== undefined) known.set({ ...view, usedAt: now.getTime() });
      }),

    remove: key =>
      attempt(`removing view ${key}`, async () => {
        using _ = await locks.lock(key, never);
        const view = await find(key);
        known.delete(key);
        shape.forget(key);
        unsynced.forget(nameOf(key));
        // The tree first: a tree without a record counts as one that lost it.
        const isLinked = view !== undefined && view.image === undefined;
        await witness.relink(isLinked ? itemsOf(view) : [], () => scratch.discard(places.tree(key)));
        await scratch.discard(places.image(key));
        await scratch.discard(places.record(key));
      }),

    list: () => attempt('listing the views', list),

    holding: item =>
      attempt('looking for views', async () => {
        if (!isComplete) await list();
        isComplete = true;
        return findAll(known.keysOf(item));
      }),

    isAsBuilt: (key, signal) => attempt(`looking at view ${key}`, () => shape.isKept(key, signal)),

    compare: (key, tree, signal, form = 'bodies') =>
      attempt(`comparing view ${key}`, async () => {
        const path = places.find(key);
        if (path === undefined) return undefined;
        if (isImagePath(path) !== (form === 'tar'))
          return { problem: 'its layers are stored in another form' };
        const compared = isImagePath(path)
          ? await compareImage(await find(key), tree, sources, signal)
          : await compareTree(path, tree, sources.path, signal);
        if (compared.problem === undefined)
          await shape.write(key, compared.watched, signal).catch(() => signal.throwIfAborted()); // it is only lost
        return compared;
      }),

    checkImage: (key, look, signal) =>
      attempt(`verifying the image of view ${key}`, async () => {
        const view = await find(key);
        const problem = view && (await checkImage(view, look, signal));
        return (await find(key))?.image?.file === view?.image?.file ? problem : undefined; // it may be a new one
      }),

    distrust: key => shape.forget(key),

    shows: (key, inodes, signal) =>
      attempt(`looking through view ${key}`, async () => {
        const path = places.find(key);
        if (path === undefined || inodes.length === 0) return false;
        return isImagePath(path) || containsInode(path, inodes, signal); // an image has whole layers
      }),

    setAside: (key, as) =>
      attempt(`setting view ${key} aside`, async () => {
        using _ = await locks.lock(key, never);
        shape.forget(key);
        await writeRecord(as);
        const from = places.find(key) ?? places.tree(key);
        const to = isImagePath(from) ? places.image(as.key) : places.tree(as.key);
        despiteFlags([from], () => renameSync(from, to));
        known.delete(key);
        await find(as.key);
        await scratch.discard(places.record(key));
        await directory.sync();
      }),

    keys: async () => keysOf(await directory.list()),

    listLost: () =>
      attempt('looking for views without a record', async () => {
        const keys = keysOf(await directory.list());
        const found = new Set((await findAll(keys)).map(view => view.key));
        return keys.filter(key => !found.has(key));
      }),

    restore: record =>
      attempt(`restoring the record of view ${record.key}`, async () => {
        const path = reader.place(record.key);
        // An image that has its record lacks other files, which a new record would not bring.
        const isLeft =
          path === undefined || (isImagePath(path) && (await reader.record(record.key)) !== undefined);
        return !isLeft && (await restore(record)) !== undefined;
      }),

    retireStrays: async () => {
      for (const name of strays(await directory.list())) {
        await rename(join(directory.path, name), scratch.fresh());
      }
    },
  };
}
