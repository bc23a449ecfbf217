import { existsSync, utimesSync } from 'node:fs';
import { chmod, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { setXattr } from '../linux/libc.ts';
import { unlessAbsent } from './files/absent.ts';

/** A filesystem that was just made has it. */
const ofNobody = 'lost+found';

/**
 * Makes sure that a directory is a state directory, or may become one. Touches nothing.
 * @returns whether it is one.
 * @throws `invalid` where something is in it that is not ours.
 */
export async function verifyOwn(stateDir: string): Promise<boolean> {
  const names = (await unlessAbsent(readdir(stateDir))) ?? [];
  if (names.includes('format')) return true;
  const other = names.find(name => name !== ofNobody);
  if (other === undefined) return false;
  throw new ArtifactError(
    'invalid',
    `${stateDir} is not a state directory: it holds ${JSON.stringify(other)} and no file "format"; nothing in it was touched; give an empty or a new directory with --state-dir`,
  );
}

/** Before anything else is made in it: a crash from here on leaves what is known as ours. */
export async function markOwn(stateDir: string): Promise<void> {
  await using _ = await open(join(stateDir, 'format'), 'a', 0o600);
}

/**
 * Claims a new state dir: for root alone, as blobs in it are 0644, and with the SELinux label that containers may read.
 * What is made in it later inherits the label, and hard links carry it into every view.
 * @param selinux the kernel's SELinux folder, there only where SELinux is on.
 */
export async function claimStateDir(path: string, label: string | undefined, selinux: string): Promise<void> {
  await chmod(path, 0o700);
  if (label === undefined || !existsSync(selinux)) return;
  await using folder = await open(path);
  setXattr(folder.fd, 'security.selinux', Buffer.from(`${label}\0`));
}

/**
 * Why a state directory that is open cannot be written. Asks the disk by setting the times of the lock, since flags of the
 * mount say nothing of a filesystem that has given up writing.
 */
export function findWriteProblem(stateDir: string): string | undefined {
  const now = new Date();
  try {
    utimesSync(join(stateDir, 'lock'), now, now);
    return undefined;
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === 'ENOENT') return undefined; // it is gone, which is another matter
    return `the state directory ${stateDir} cannot be written (${errno}): mounted volumes stay, and new ones fail; see the kernel's log, and mount the disk for writing again`;
  }
}

/** That a state directory which is open is not at its path any more. */
export function findAbsence(stateDir: string): string | undefined {
  if (existsSync(join(stateDir, 'lock'))) return undefined;
  return `the state directory ${stateDir} was moved or removed while the daemon runs: mounted volumes stay, and new ones fail; put it back, or restart the daemon`;
}
