import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unmountBelow } from './mounts.ts';

/** What every temporary folder of a test begins with, so that people know whose it is. */
const temporaryPrefix = 'oci-artifact-csi-';

export type TemporaryFolder = AsyncDisposable & { readonly path: string };

/**
 * A folder of the test's own under os.tmpdir(). `await using` it: disposal takes away every mount below it and then
 * the folder with all that is in it. The path stays short, so that a unix socket fits below (107 bytes).
 */
export async function temporaryFolder(): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(tmpdir(), temporaryPrefix));
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      unmountBelow(path);
      await rm(path, { recursive: true, force: true });
    },
  };
}
