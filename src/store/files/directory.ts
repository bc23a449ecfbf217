import { constants, type PathLike } from 'node:fs';
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { type Algorithm, algorithmOf, type Digest, hexOf, isDigest } from '../../oci/digest.ts';
import { ArtifactError, errnoOf } from '../../util/error.ts';
import { makeDirectories } from '../../util/make-directories.ts';
import { direct, named, verifyRegular } from '../../util/regular-file.ts';
import { shareRuns } from '../../util/shared-run.ts';
import { unlessAbsent } from './absent.ts';

/** An open directory of the state directory. Concurrent callers share one sync. */
export type Directory = AsyncDisposable & {
  readonly path: string;
  /** Returns the names in it. */
  list(): Promise<readonly string[]>;
  /** When this returns, past renames and removals in it survive a power cut. */
  sync(): Promise<void>;
};

/** Creates the directory, mode 0700, and its missing parents. @throws `unavailable` on a read-only filesystem. */
export async function openDirectory(path: string): Promise<Directory> {
  make(path);
  const handle = await open(path);
  return {
    path,
    list: () => readdir(path),
    sync: shareRuns(() => handle.sync()),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

function make(path: string): void {
  try {
    makeDirectories(path, 0o700);
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === 'EROFS') {
      throw new ArtifactError(
        'unavailable',
        `cannot make the directory ${path}: its filesystem is read-only; mount it for writing, or give another --state-dir`,
        thrown,
      );
    }
    if (errno !== 'ENOENT') throw thrown;
    throw new ArtifactError(
      'invalid',
      `cannot make the directory ${path}: its filesystem takes none (ENOENT); give another --state-dir`,
      thrown,
    );
  }
}

/** A directory that is only read and may be absent: then it is empty. */
export function readDirectory(path: string): Directory {
  return {
    path,
    list: async () => (await unlessAbsent(readdir(path))) ?? [],
    async sync() {},
    async [Symbol.asyncDispose]() {},
  };
}

/** Files or directories named by digest: `<root>/<algorithm>/<hex>`. */
export type DigestDirectories = {
  path(digest: Digest): string;
  /** Returns the directory that contains the entry of a digest. */
  above(digest: Digest): Directory;
  list(): Promise<readonly Digest[]>;
};

export async function openDigestDirectories(
  root: string,
  directory: (name: string) => Promise<Directory>,
): Promise<DigestDirectories> {
  const directories: Readonly<Record<Algorithm, Directory>> = {
    sha256: await directory(`${root}/sha256`),
    sha512: await directory(`${root}/sha512`),
  };
  const above = (digest: Digest): Directory => directories[algorithmOf(digest)];
  return {
    above,
    path: digest => `${above(digest).path}/${hexOf(digest)}`,
    async list() {
      const digests: Digest[] = [];
      for (const [algorithm, directory] of Object.entries(directories)) {
        for (const hex of await directory.list()) {
          const digest = `${algorithm}:${hex}`;
          if (isDigest(digest)) digests.push(digest);
        }
      }
      return digests;
    },
  };
}

/** Syncs a file or a directory. Something else, which somebody put in its place, has nothing to be synced. */
export async function syncEntry(path: PathLike): Promise<void> {
  try {
    await using file = await open(path, constants.O_RDONLY | direct);
    await file.sync();
  } catch (thrown) {
    if (!['EINVAL', 'ELOOP', 'ENXIO'].includes(errnoOf(thrown) ?? '')) throw thrown;
  }
}

/** The same as `openRegular`, for reads and writes that may take long: they are left to the pool of threads. */
export async function openHandle(
  path: PathLike,
  flags: number = constants.O_RDONLY,
  mode?: number,
): Promise<FileHandle> {
  const file = await open(path, flags | direct, mode).catch((thrown: unknown) => {
    throw named(path, thrown);
  });
  try {
    verifyRegular(await file.stat(), path);
    return file;
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
}
