import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { Digest } from '../../oci/digest.ts';
import type { Damage, Held, Layers, Look, Stage } from '../../ports/store.ts';
import { bodiesPerDirectory, bodyDirectory, bodyName, tocName } from '../../tree/layer-files.ts';
import type { DataFile, TocSummary } from '../../tree/toc.ts';
import type { TocTotals } from '../../tree/toc-text.ts';
import { ArtifactError } from '../../util/error.ts';
import { unlessAbsent } from '../files/absent.ts';
import type { DigestDirectories } from '../files/directory.ts';
import { attempt, howToMend } from '../files/failure.ts';
import { hashFile } from '../files/file-hash.ts';
import type { Scratch } from '../files/scratch.ts';
import { formatStored, type Unsynced } from '../files/unsynced.ts';
import { toUnreadable } from '../integrity/damage.ts';
import { createBodyCheck } from './layer-check.ts';
import { measureLayer } from './layer-usage.ts';
import { isOutdated, readToc, readTocTotals, readTotals, type TakeEntries } from './toc-file.ts';

/**
 * Tar layers in one of their forms: under `layers/bodies/<algorithm>/<hex>/` the file `toc`, and beside it the bodies,
 * each under its number, in subdirectories; or under `layers/tar/<algorithm>/<hex>/` the file `toc`, and beside it the
 * uncompressed tar. A layer is complete or absent; one whose table is torn or of another version is absent.
 */
export type FormStore = Omit<Layers, 'has' | 'form' | 'readToc' | 'stage'> & {
  has(digest: Digest): Promise<boolean>;
  readToc(digest: Digest, take: TakeSome, signal: AbortSignal): Promise<TocSummary | undefined>;
  /** @param arrived called when the layer is in the cache. */
  stage(digest: Digest, arrived: () => void): Promise<Stage>;
  /** Returns all of its files; undefined without a complete table. */
  files(
    digest: Digest,
  ): { readonly count: number; readonly files: Iterable<readonly [layer: string, name: string]> } | undefined;
  bodyPath(digest: Digest, body: number): string;
  /** Returns the files that have the bodies of a layer; undefined if it is not stored as its tar. */
  dataFiles(digest: Digest): readonly LayerFile[] | undefined;
};

/** Receives the entries of a table. */
type TakeSome = Parameters<Layers['readToc']>[1];

/** `size` in bytes. */
export type LayerFile = Pick<DataFile, 'name' | 'size'> & { readonly path: string };

export function openLayers(
  directories: DigestDirectories,
  scratch: Scratch,
  unsynced: Pick<Unsynced, 'place' | 'forget'>,
): FormStore {
  const { path } = directories;
  const bodyPath = (digest: Digest, body: number): string => `${path(digest)}/${bodyName(body)}`;
  const tocOf = (digest: Digest): string => join(path(digest), tocName);

  /** Returns undefined if no table can be read. */
  const totalsOf = (digest: Digest): Promise<TocTotals | undefined> =>
    attempt(`looking for layer ${digest}`, () =>
      unlessAbsent(readTocTotals(tocOf(digest))).catch((thrown: unknown) => void toUnreadable(thrown)),
    );

  const has = async (digest: Digest): Promise<boolean> => (await totalsOf(digest)) !== undefined;
  const readNow = (digest: Digest): TocTotals | undefined => readTotals(tocOf(digest));

  async function readOwn(
    digest: Digest,
    take: TakeEntries,
    signal: AbortSignal,
  ): Promise<TocSummary | undefined> {
    const toc = await unlessAbsent(readToc(tocOf(digest), take, signal));
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
        const stage = scratch.fresh();
        mkdirSync(stage, { mode: 0o700 });
        let committed = false;
        return {
          path: stage,
          commit: totals =>
            attempt(`storing layer ${digest}`, async () => {
              if (await has(digest)) return;
              const to = path(digest);
              const paths = Iterator.from(allOf(to, totals)).take(most).toArray();
              await scratch.discard(to);
              const move = (): void => {
                renameSync(stage, to);
                committed = true;
              };
              const all = paths.length < most ? [...paths, directories.above(digest).path] : undefined;
              await unsynced.place(formatStored({ kind: 'layers', digest }), move, all);
              arrived();
            }),
          [Symbol.asyncDispose]: async () => {
            if (!committed) await attempt(`removing ${stage}`, () => scratch.discard(stage));
          },
        };
      }),

    remove: digest =>
      attempt(`removing layer ${digest}`, async () => {
        unsynced.forget(formatStored({ kind: 'layers', digest }));
        await scratch.discard(path(digest));
      }),

    list: () =>
      attempt('listing the layers', async () => {
        const held: Held[] = [];
        for (const digest of await directories.list())
          held.push({ digest, ...(await measureLayer(tocOf(digest))) });
        return held;
      }),
  };
}

function advise(thrown: unknown): never {
  if (!(thrown instanceof ArtifactError) || thrown.code !== 'corrupt') throw thrown;
  throw new ArtifactError('corrupt', `${thrown.message}; ${howToMend}`, thrown);
}

/** The files above which a layer is synced with the whole filesystem. */
const most = 64;

/** A layer with its content. */
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
