import { errnoOf } from '../../util/error.ts';

/** What a call on the disk gives, or undefined where its path does not exist. */
export async function unlessAbsent<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result;
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return undefined;
    throw thrown;
  }
}
