import { mkdir, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../oci/digest.ts';
import type { Toc } from '../oci/toc.ts';
import { ArtifactError } from '../util/error.ts';
import { unlessAbsent } from './absent.ts';
import type { DigestFolders, Held } from './digest-folders.ts';
import { attempt } from './failure.ts';
import { checkBodies } from './layer-check.ts';
import type { Scratch } from './scratch.ts';
import { readToc, readTocHeader, writeToc } from './toc-file.ts';

/**
 * Unpacked tar layers under `layers/bodies/<algorithm>/<hex>/`: the file `toc`, and beside it the bodies, each under
 * its number. A layer is complete or absent.
 */
export type Layers = {
  toc(digest: Digest): Promise<Toc | undefined>;
  has(digest: Digest): Promise<boolean>;
  stage(digest: Digest): Promise<Stage>;
  path(digest: Digest): string;
  check(digest: Digest, signal: AbortSignal): Promise<string | undefined>;
  bodyPath(digest: Digest, body: number): string;
  remove(digest: Digest): Promise<void>;
  list(): Promise<readonly Held[]>;
};

/** A folder to unpack into. */
export type Stage = AsyncDisposable & {
  readonly path: string;
  commit(toc: Toc): Promise<void>;
};

export function openLayers(folders: DigestFolders, scratch: Scratch): Layers {
  const tocOf = (digest: Digest): string => join(folders.path(digest), 'toc');
  const has = (digest: Digest): Promise<boolean> =>
    attempt(`looking for layer ${digest}`, async () => {
      return (await unlessAbsent(stat(tocOf(digest)))) !== undefined;
    });

  const bodyPath = (digest: Digest, body: number): string => `${folders.path(digest)}/${body}`;

  async function readOwnToc(digest: Digest): Promise<Toc | undefined> {
    const toc = await unlessAbsent(readToc(tocOf(digest)));
    if (toc === undefined || toc.digest === digest) return toc;
    throw new ArtifactError('corrupt', `${tocOf(digest)} is damaged: it is the table of layer ${toc.digest}`);
  }

  return {
    has,
    bodyPath,
    path: digest => folders.path(digest),
    toc: digest => attempt(`reading layer ${digest}`, () => readOwnToc(digest)),

    check: (digest, signal) =>
      attempt(`checking layer ${digest}`, async () => {
        try {
          const toc = await readOwnToc(digest);
          return toc === undefined ? undefined : await checkBodies(toc, bodyPath, signal);
        } catch (thrown) {
          if (thrown instanceof ArtifactError && thrown.code === 'corrupt') return thrown.message;
          throw thrown;
        }
      }),

    stage: digest =>
      attempt(`unpacking layer ${digest}`, async () => {
        const path = scratch.fresh();
        await mkdir(path, 0o700);
        return {
          path,
          commit: toc =>
            attempt(`storing layer ${digest}`, async () => {
              await writeToc(join(path, 'toc'), toc);
              await folders.above(digest).syncAll([path, ...filesOf(path, toc)]);
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

/** The table in a stage, and its bodies. */
function filesOf(stage: string, { entries }: Toc): readonly string[] {
  const bodies = entries.filter(entry => entry.kind === 'file').map(({ body }) => join(stage, String(body)));
  return [join(stage, 'toc'), ...bodies];
}

/**
 * What a layer takes on the disk, by its header and without a walk: the bodies, the table, and their folder. One that
 * cannot be read still counts as held, so that collection removes it.
 */
async function measure(toc: string): Promise<Omit<Held, 'digest'>> {
  try {
    const { bytes, bodies, size, since } = await readTocHeader(toc);
    return { bytes: bytes + size, inodes: bodies + 2, since };
  } catch {
    return { bytes: 0, inodes: 0, since: 0 };
  }
}
