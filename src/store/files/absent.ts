import { errnoOf } from '../../util/error.ts';
import { readRegular } from '../../util/regular-file.ts';

/** Returns the result of a filesystem call, or undefined if the path does not exist. */
export async function unlessAbsent<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result;
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return undefined;
    throw thrown;
  }
}

/** Reads a whole regular file; undefined if the path does not exist. @throws as `openRegular`. */
export function readIfThere(path: string): string | undefined {
  try {
    return readRegular(path);
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return undefined;
    throw thrown;
  }
}
