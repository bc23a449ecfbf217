import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../oci/digest.ts';
import { bodiesPerFolder, bodyFolder, bodyName, tocName, type TocSummary } from '../oci/toc.ts';
import { ArtifactError } from '../util/error.ts';
import { unlessAbsent } from './absent.ts';
import type { DigestFolders, Held } from './digest-folders.ts';
import { attempt } from './failure.ts';
import { checkBody } from './layer-check.ts';
import type { Scratch } from './scratch.ts';
import { readToc, readTocTotals, type TakeEntries } from './toc-file.ts';

/**
 * Unpacked tar layers under `layers/bodies/<algorithm>/<hex>/`: the file `toc`, and beside it the bodies, each under
 * its number, in folders of some. A layer is complete or absent; one whose table is torn or of another version is absent.
 */
export type Layers = {
  readToc(digest: Digest, take: TakeEntries, signal: AbortSignal): Promise<TocSummary | undefined>;
  has(digest: Digest): Promise<boolean>;
  stage(digest: Digest): Promise<Stage>;
  path(digest: Digest): string;
  check(digest: Digest, signal: AbortSignal): Promise<string | undefined>;
  bodyPath(digest: Digest, body: number): string;
  remove(digest: Digest): Promise<void>;
  list(): Promise<readonly Held[]>;
};

/** A folder to unpack into: bodies and table of contents. */
export type Stage = AsyncDisposable & {
  readonly path: string;
  commit(summary: TocSummary): Promise<void>;
};

export function openLayers(folders: DigestFolders, scratch: Scratch): Layers {
  const tocOf = (digest: Digest): string => join(folders.path(digest), tocName);
  const has = (digest: Digest): Promise<boolean> =>
    attempt(`looking for layer ${digest}`, async () => {
      return (await unlessAbsent(readTocTotals(tocOf(digest)))) !== undefined;
    });

  const bodyPath = (digest: Digest, body: number): string => `${folders.path(digest)}/${bodyName(body)}`;

  async function readOwn(
    digest: Digest,
    take: TakeEntries,
    signal: AbortSignal,
  ): Promise<TocSummary | undefined> {
    const path = tocOf(digest);
    const toc = await unlessAbsent(readToc(path, take, signal));
    if (toc === undefined || toc.digest === digest) return toc;
    throw new ArtifactError('corrupt', `${path} is damaged: it is the table of layer ${toc.digest}`);
  }

  async function findDamage(digest: Digest, signal: AbortSignal): Promise<string | undefined> {
    let problem: string | undefined;
    const pathOf = (body: number): string => bodyPath(digest, body);
    const take: TakeEntries = async entries => {
      for (const entry of entries) problem ??= await checkBody(entry, pathOf, signal);
    };
    try {
      await readOwn(digest, take, signal);
    } catch (thrown) {
      if (thrown instanceof ArtifactError && thrown.code === 'corrupt') return thrown.message;
      throw thrown;
    }
    return problem;
  }

  return {
    has,
    bodyPath,
    path: digest => folders.path(digest),
    readToc: (digest, take, signal) =>
      attempt(`reading layer ${digest}`, () => readOwn(digest, take, signal)),
    check: (digest, signal) => attempt(`checking layer ${digest}`, () => findDamage(digest, signal)),

    stage: digest =>
      attempt(`unpacking layer ${digest}`, async () => {
        const path = scratch.fresh();
        await mkdir(path, 0o700);
        return {
          path,
          commit: ({ bodies }) =>
            attempt(`storing layer ${digest}`, async () => {
              await folders.above(digest).syncAll(filesOf(path, bodies));
              if (await has(digest)) return;
              await scratch.discard(folders.path(digest));
              await rename(path, folders.path(digest));
              await folders.above(digest).sync();
            }),
          [Symbol.asyncDispose]: () => attempt(`removing ${path}`, () => scratch.discard(path)),
        };
      }),

    remove: digest => attempt(`removing layer ${digest}`, () => scratch.discard(folders.path(digest))),

    list: () =>
      attempt('listing the layers', async () => {
        const held: Held[] = [];
        for (const digest of await folders.list()) held.push({ digest, ...(await measure(tocOf(digest))) });
        return held;
      }),
  };
}

/** A stage with all that is in it. */
function* filesOf(stage: string, bodies: number): Generator<string> {
  yield stage;
  yield join(stage, tocName);
  for (let body = 0; body < bodies; body++) {
    if (body % bodiesPerFolder === 0) yield join(stage, bodyFolder(body));
    yield join(stage, bodyName(body));
  }
}

/**
 * What a layer takes on the disk, by its totals and without a walk: the bodies, the table, and their folders. One that
 * cannot be read still counts as held, so that collection removes it.
 */
async function measure(toc: string): Promise<Omit<Held, 'digest'>> {
  const totals = await readTocTotals(toc).catch(() => undefined);
  if (totals === undefined) return { bytes: 0, inodes: 0, since: 0 };
  const { bytes, bodies, size, since } = totals;
  return { bytes: bytes + size, inodes: bodies + Math.ceil(bodies / bodiesPerFolder) + 2, since };
}
