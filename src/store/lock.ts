import { constants } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { lockFile } from '../linux/lock.ts';
import { ArtifactError, isFullDisk } from '../util/error.ts';
import { readRegular } from '../util/regular-file.ts';
import { recognize } from '../util/same-file.ts';
import { unlessAbsent } from './files/absent.ts';
import { openHandle } from './files/directory.ts';

/**
 * Locks the state directory for this process, until the lock is disposed or the process ends, however it ends.
 *
 * @throws `busy` naming the holder.
 */
export async function takeLock(stateDir: string): Promise<AsyncDisposable> {
  const file = await openHandle(join(stateDir, 'lock'), constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    if (!lockFile(file.fd)) throw toBusy(stateDir);
    await file.truncate();
    const name = `process ${process.pid} on ${hostname()} since ${new Date().toISOString()}\n`;
    await file.write(name, 0).catch((thrown: unknown) => {
      if (!isFullDisk(thrown)) throw thrown; // others do not learn who has it
    });
    return {
      async [Symbol.asyncDispose]() {
        await file.truncate().catch(() => {}); // a process that only reads locks it without a name
        await file.close();
      },
    };
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
}

/** Keeps writers out while this process reads. It locks nothing if the directory is new. @throws `busy`. */
export async function shareLock(stateDir: string): Promise<AsyncDisposable> {
  const file = await unlessAbsent(openHandle(join(stateDir, 'lock')));
  if (file === undefined) return { async [Symbol.asyncDispose]() {} };
  try {
    if (!lockFile(file.fd, 'shared')) throw toBusy(stateDir);
    return { [Symbol.asyncDispose]: () => file.close() };
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
}

/** Returns the process that locks the state directory, in words. */
export function readHolder(stateDir: string): string {
  try {
    return readRegular(join(stateDir, 'lock')).trim() || 'another process';
  } catch {
    return 'another process';
  }
}

/** The error for a process that does not wait. */
export function toBusy(stateDir: string): ArtifactError {
  return new ArtifactError(
    'busy',
    `${stateDir} is in use by ${readHolder(stateDir)}: ask that one over its socket (--endpoint, CSI_ENDPOINT), or stop it and try again`,
  );
}

/**
 * Reports a state directory that was emptied, moved or replaced. The store keeps its open descriptors, and no longer
 * finds its files.
 */
export function watchLock(stateDir: string): () => string | undefined {
  const lock = join(stateDir, 'lock');
  const isOurs = recognize(lock);
  return () => (isOurs(lock) ? undefined : `the state directory ${stateDir} is gone; restart the daemon`);
}
