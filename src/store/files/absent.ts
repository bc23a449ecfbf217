import { errnoOf } from '../../util/error.ts';

/** Returns the result of a filesystem call, or undefined if the path does not exist. */
export async function unlessAbsent<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result;
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return undefined;
    throw thrown;
  }
}
