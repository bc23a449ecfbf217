import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { Digest } from '../../oci/digest.ts';
import type { Damage, Held, Layers, Look, Stage } from '../../ports/store.ts';
import { bodiesPerDirectory, bodyDirectory, bodyName, tocName } from '../../tree/layer-files.ts';
import type { DataFile, TocSummary } from '../../tree/toc.ts';
import type { TocTotals } from '../../tree/toc-text.ts';
import { abortable } from '../../util/abortable.ts';
import { ArtifactError } from '../../util/error.ts';
import { unlessAbsent } from '../files/absent.ts';
import { type DigestDirectories, type Directory, openDirectory } from '../files/directory.ts';
import { attempt, howToMend } from '../files/failure.ts';
import { hashFile } from '../files/file-hash.ts';
import type { Scratch } from '../files/scratch.ts';
import { toUnreadable } from '../integrity/damage.ts';
import { createBodyCheck } from './layer-check.ts';
import { measureLayer } from './layer-usage.ts';
import { isOutdated, readToc, readTocTotals, readTotals, type TakeEntries } from './toc-file.ts';

/**
 * Tar layers in one of their forms: under `layers/bodies/<algorithm>/<hex>/` the file `toc`, and beside it the bodies,
 * each under its number, in subdirectories; or under `layers/tar/<algorithm>/<hex>/` the file `toc`, and beside it the
 * uncompressed tar. A layer is complete or absent; one whose table is torn or of another version is absent. It is readable in its stage until it is durable and moved to its path: merging need not wait for the disk.
 * Disposing waits for that.
 */
export type FormStore = AsyncDisposable &
  Omit<Layers, 'has' | 'form' | 'readToc' | 'stage'> & {
    has(digest: Digest): Promise<boolean>;
    readToc(digest: Digest, take: TakeSome, signal: AbortSignal): Promise<TocSummary | undefined>;
    /** @param arrived called when the layer is in the cache. */
    stage(digest: Digest, arrived: () => void): Promise<Stage>;
    /** Waits until these would survive a power cut, and have permanent paths. @throws why one of them failed. */
    settle(digests: readonly Digest[], signal: AbortSignal): Promise<void>;
    /** Returns all of its files; undefined without a complete table. */
    files(
      digest: Digest,
    ):
      | { readonly count: number; readonly files: Iterable<readonly [layer: string, name: string]> }
      | undefined;
    bodyPath(digest: Digest, body: number): string;
    /** Returns the files that have the bodies of a layer; undefined if it is not stored as its tar. */
    dataFiles(digest: Digest): readonly LayerFile[] | undefined;
  };

/** Receives the entries of a table. */
type TakeSome = Parameters<Layers['readToc']>[1];

/** `size` in bytes. */
export type LayerFile = Pick<DataFile, 'name' | 'size'> & { readonly path: string };

/** A layer that is being made durable, and its path until then. */
type Arrival = { path: string | undefined; settled: Promise<void> };

export function openLayers(directories: DigestDirectories, scratch: Scratch): FormStore {
  /** A failed one stays until the layer is committed again. */
  const arriving = new Map<Digest, Arrival>();

  const path = (digest: Digest): string => arriving.get(digest)?.path ?? directories.path(digest);
  const bodyPath = (digest: Digest, body: number): string => `${path(digest)}/${bodyName(body)}`;

  /** Reads its table, which may move just before it is opened. */
  async function fromToc<T>(digest: Digest, read: (toc: string) => Promise<T>): Promise<T | undefined> {
    const from = path(digest);
    const found = await unlessAbsent(read(join(from, tocName)));
    if (found !== undefined || path(digest) === from) return found;
    return unlessAbsent(read(join(path(digest), tocName)));
  }

  /** Returns undefined if no table can be read. */
  const totalsOf = (digest: Digest): Promise<TocTotals | undefined> =>
    attempt(`looking for layer ${digest}`, () =>
      fromToc(digest, readTocTotals).catch((thrown: unknown) => void toUnreadable(thrown)),
    );

  const has = async (digest: Digest): Promise<boolean> => (await totalsOf(digest)) !== undefined;
  const readNow = (digest: Digest): TocTotals | undefined => readTotals(join(path(digest), tocName));

  /** A layer is used from its stage until it is durable, and then moved to its path. */
  function settleSoon(digest: Digest, stage: Directory, totals: TocTotals): void {
    const arrival: Arrival = { path: stage.path, settled: Promise.resolve() };
    const isWanted = (): boolean => arriving.get(digest) === arrival;
    const settle = async (): Promise<void> => {
      await using _ = stage;
      await stage.syncAll(allOf(stage.path, totals));
      if (!isWanted()) return;
      renameSync(stage.path, directories.path(digest));
      arrival.path = undefined;
      await directories.above(digest).sync();
      if (isWanted()) arriving.delete(digest);
    };
    arriving.set(digest, arrival);
    arrival.settled = attempt(`storing layer ${digest}`, () =>
      settle().catch(async (thrown: unknown) => {
        const left = arrival.path ?? directories.path(digest);
        arrival.path = undefined;
        if (isWanted()) await scratch.discard(left);
        throw thrown;
      }),
    );
    arrival.settled.catch(() => {}); // the waiting callers get the error
  }

  async function readOwn(
    digest: Digest,
    take: TakeEntries,
    signal: AbortSignal,
  ): Promise<TocSummary | undefined> {
    const toc = await fromToc(digest, from => readToc(from, take, signal));
    if (toc === undefined) await arriving.get(digest)?.settled; // throws why it does not exist any more
    if (toc === undefined || toc.digest === digest) return toc;
    throw new ArtifactError(
      'corrupt',
      `${path(digest)} is damaged: its table is that of layer ${toc.digest}`,
    );
  }

  async function findDamage(digest: Digest, look: Look, signal: AbortSignal): Promise<Damage | undefined> {
    if (!existsSync(path(digest))) return undefined;
    const isTar = readNow(digest)?.files !== undefined;
    const bodies = createBodyCheck(path(digest), look, signal);
    const take: TakeEntries = async entries => {
      for (const entry of isTar ? [] : entries) await bodies.check(entry, body => bodyPath(digest, body));
    };
    try {
      const toc = await readOwn(digest, take, signal);
      for (const file of toc?.files ?? []) await bodies.checkFile(file);
      return toc === undefined ? { problem: 'its table of contents is missing', inodes: [] } : bodies.sum();
    } catch (thrown) {
      signal.throwIfAborted();
      const isCorrupt = thrown instanceof ArtifactError && thrown.code === 'corrupt';
      if (isCorrupt && (await isOutdated(join(path(digest), tocName), signal)))
        return { problem: 'was unpacked by another version of this program', inodes: [], outdated: true };
      const problem = isCorrupt ? thrown.message : `its table of contents ${toUnreadable(thrown)}`;
      return { problem, inodes: bodies.sum()?.inodes ?? [] };
    }
  }

  return {
    has,
    bodyPath,
    path,
    async tar(digest) {
      const totals = await totalsOf(digest);
      if (totals?.files === undefined) return undefined;
      return { path: join(path(digest), 'tar'), diffId: totals.diffId };
    },
    dataFiles(digest) {
      const from = path(digest);
      return readTotals(join(from, tocName))?.files?.map(({ name, size }) => ({
        name,
        size,
        path: join(from, name),
      }));
    },
    size: async digest => (await totalsOf(digest))?.bytes,
    readToc: (digest, take, signal) =>
      attempt(`reading layer ${digest}`, () => readOwn(digest, take, signal).catch(advise)),
    check: (digest, signal, look = hashFile) =>
      attempt(`checking layer ${digest}`, async () => {
        await arriving.get(digest)?.settled;
        const damage = await findDamage(digest, look, signal);
        return existsSync(path(digest)) ? damage : undefined; // it was removed in the meantime
      }),
    files(digest) {
      const layer = path(digest);
      const totals = readTotals(join(layer, tocName));
      if (totals === undefined) return undefined;
      return { count: (totals.files?.length ?? totals.bodies) + 1, files: filesOf(layer, totals) };
    },

    stage: (digest, arrived) =>
      attempt(`unpacking layer ${digest}`, async () => {
        // Opened before anything is written: a descriptor reports a failed write once, and only of later ones.
        const stage = await openDirectory(scratch.fresh());
        let committed = false;
        return {
          path: stage.path,
          commit: totals =>
            attempt(`storing layer ${digest}`, async () => {
              if (await has(digest)) return;
              await scratch.discard(directories.path(digest));
              committed = true;
              settleSoon(digest, stage, totals);
              arrived();
            }),
          [Symbol.asyncDispose]: async () => {
            if (committed) return;
            await stage[Symbol.asyncDispose]();
            await attempt(`removing ${stage.path}`, () => scratch.discard(stage.path));
          },
        };
      }),

    async settle(digests, signal) {
      await abortable(Promise.all(digests.map(async digest => arriving.get(digest)?.settled)), signal);
    },

    remove: digest =>
      attempt(`removing layer ${digest}`, async () => {
        const from = path(digest);
        arriving.delete(digest);
        await scratch.discard(from);
      }),

    list: () =>
      attempt('listing the layers', async () => {
        const held: Held[] = [];
        const coming = [...arriving].filter(([, { path: stage }]) => stage !== undefined);
        for (const digest of new Set([...(await directories.list()), ...coming.map(([digest]) => digest)]))
          held.push({ digest, ...(await measureLayer(join(path(digest), tocName))) });
        return held;
      }),

    async [Symbol.asyncDispose]() {
      await Promise.allSettled([...arriving.values()].map(({ settled }) => settled));
    },
  };
}

function advise(thrown: unknown): never {
  if (!(thrown instanceof ArtifactError) || thrown.code !== 'corrupt') throw thrown;
  throw new ArtifactError('corrupt', `${thrown.message}; ${howToMend}`, thrown);
}

/** A stage with its content. */
function* allOf(stage: string, totals: TocTotals): Generator<string> {
  yield stage;
  const directories = totals.files === undefined ? totals.bodies : 0;
  for (let body = 0; body < directories; body += bodiesPerDirectory) yield join(stage, bodyDirectory(body));
  for (const [layer, name] of filesOf(stage, totals)) yield `${layer}/${name}`;
}

function* filesOf(
  layer: string,
  { files, bodies }: TocTotals,
): Generator<readonly [layer: string, name: string]> {
  yield [layer, tocName];
  if (files === undefined) for (let body = 0; body < bodies; body++) yield [layer, bodyName(body)];
  else for (const { name } of files) yield [layer, name];
}
