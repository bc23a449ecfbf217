import { mkdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { syncFileSystem } from '../util/libc.ts';
import { shareRuns } from './shared-run.ts';

/** A folder of the state dir, held open. Callers that wait at the same time share one sync. */
export type Folder = AsyncDisposable & {
  readonly path: string;
  /** Names renamed into or removed from it so far outlive a power cut. */
  sync(): Promise<void>;
  /** All that was written to its file system so far, data and names, outlives a power cut. */
  syncFileSystem(): Promise<void>;
};

/** Makes the folder, 0700, and its parents where they are absent. */
export async function openFolder(path: string): Promise<Folder> {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const handle = await open(path, 'r');
  return {
    path,
    sync: shareRuns(() => handle.sync()),
    syncFileSystem: shareRuns(() => syncFileSystem(handle.fd)),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}
