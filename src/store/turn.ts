import { constants } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isLocked, lockFile, unlockFile } from '../linux/lock.ts';
import { errnoOf } from '../util/error.ts';
import { openHandle } from './files/directory.ts';
import { toBusy } from './lock.ts';

/**
 * The turn of one daemon of a state directory: the right to have its sockets. A daemon takes it before the state itself,
 * and a stopping daemon gives it to a standby before it ends its own calls and closes the state. So the sockets change
 * hands first, and calls wait at the successor.
 *
 * All of it is locks of bytes of the file `lock`, which the kernel releases however a process ends; nothing is written.
 */
export type Turn = AsyncDisposable & {
  /** Whether this process waited for it: a server that answers at the sockets is then its predecessor. */
  readonly waited: boolean;
  /** Whether kubelet had registered the process that was waited for. */
  readonly inherited: boolean;
  /** Tells a standby whether kubelet has registered this process. */
  noteRegistered(isRegistered: boolean): void;
  /** Whether nobody has the state: a predecessor has closed it, and no command works on it. */
  isStateFree(): boolean;
  /** Gives it to a standby; false if none waits. */
  give(): boolean;
};

/** How a process waits: it is told once that it does. */
export type Wait = { readonly begin: () => void; readonly signal: AbortSignal };

/** The bytes of the lock file. */
const stateByte = 0;
const turnByte = 1;
/** Shared by all standbys. */
const standbyByte = 2;
/** Shared by the daemon that kubelet has registered, and by its predecessor until its end. */
const registeredByte = 3;

/**
 * How often a waiting process tries again. That costs some microseconds; a waiting system call would occupy a thread
 * which cannot be interrupted.
 */
export const turnEveryMs = 50;

/**
 * Takes the turn, or waits for it. On a disk that cannot be written there are no turns.
 *
 * @param wait undefined: it does not wait.
 * @throws `busy` naming the holder; the signal's reason.
 */
export async function takeTurn(stateDir: string, wait: Wait | undefined): Promise<Turn> {
  const path = join(stateDir, 'lock');
  let isWritable = true;
  const file = await openHandle(path, constants.O_RDWR | constants.O_CREAT, 0o600).catch(
    (thrown: unknown) => {
      if (errnoOf(thrown) !== 'EROFS') throw thrown;
      isWritable = false;
      return openHandle(path);
    },
  );
  const { fd } = file;
  const isStateFree = (): boolean => !isLocked(fd, stateByte);
  const close = { [Symbol.asyncDispose]: () => file.close() };
  if (!isWritable)
    return { waited: false, inherited: false, noteRegistered() {}, isStateFree, give: () => false, ...close };
  try {
    let waited = false;
    let inherited = false;
    while (!lockFile(fd, 'exclusive', turnByte)) {
      if (wait === undefined) throw toBusy(stateDir);
      if (!waited) wait.begin();
      waited = true;
      inherited = isLocked(fd, registeredByte);
      lockFile(fd, 'shared', standbyByte);
      await sleep(turnEveryMs, undefined, { signal: wait.signal });
    }
    unlockFile(fd, standbyByte);
    // A predecessor that gives its turn still has the state, and may have been refused a moment before.
    if (waited && !isStateFree()) inherited = isLocked(fd, registeredByte);
    const give = (): boolean => {
      if (!isLocked(fd, standbyByte)) return false;
      unlockFile(fd, turnByte);
      return true;
    };
    const noteRegistered = (isRegistered: boolean): void => {
      if (isRegistered) lockFile(fd, 'shared', registeredByte);
      else unlockFile(fd, registeredByte);
    };
    return { waited, inherited, noteRegistered, isStateFree, give, ...close };
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
}
