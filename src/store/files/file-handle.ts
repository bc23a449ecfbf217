import { constants, type PathLike } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { errnoOf } from '../../util/error.ts';
import { direct, named, verifyRegular } from '../../util/regular-file.ts';

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
