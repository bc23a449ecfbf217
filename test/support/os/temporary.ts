import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unmountBelow } from './mounts.ts';

/** The prefix of every temporary directory of a test, which shows its origin. */
const temporaryPrefix = 'oci-artifact-csi-';

export type TemporaryDirectory = AsyncDisposable & { readonly path: string };

/**
 * A directory of the test below os.tmpdir(). `await using` it: disposal unmounts everything below it and then removes
 * the directory with its content. The path is short, so that a unix socket fits below (107 bytes).
 */
export async function temporaryDirectory(prefix: string = temporaryPrefix): Promise<TemporaryDirectory> {
  const path = await mkdtemp(join(tmpdir(), prefix));
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      unmountBelow(path);
      await rm(path, { recursive: true, force: true });
    },
  };
}
