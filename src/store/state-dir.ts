import { constants, existsSync } from 'node:fs';
import { chmod, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setXattr } from '../linux/xattr.ts';
import { ArtifactError } from '../util/error.ts';
import { quoteName } from '../util/name.ts';
import { unlessAbsent } from './files/absent.ts';
import { openHandle } from './files/directory.ts';

/** Every new filesystem has it. */
const ofNobody = 'lost+found';

/**
 * Checks that a directory is a state directory, or can become one. It changes nothing.
 *
 * @returns whether it is one.
 * @throws `invalid` if it contains foreign files.
 */
export async function verifyOwn(stateDir: string): Promise<boolean> {
  const names = (await unlessAbsent(readdir(stateDir))) ?? [];
  if (names.includes('format')) return true;
  const other = names.find(name => name !== ofNobody);
  if (other === undefined) return false;
  throw new ArtifactError(
    'invalid',
    `${stateDir} is not a state directory: it holds ${quoteName(other)} and no file "format"; nothing in it was touched; give an empty or a new directory with --state-dir`,
  );
}

/** Created before anything else: after a crash, the directory is recognized. */
export async function markOwn(stateDir: string): Promise<void> {
  await using _ = await openHandle(join(stateDir, 'format'), constants.O_WRONLY | constants.O_CREAT, 0o600);
}

/**
 * Claims a new state directory: accessible for root alone, because blobs in it have mode 0644, and with the SELinux
 * label that containers may read. Files created in it later inherit the label, and hard links carry it into every view.
 *
 * @param selinux the kernel's SELinux directory, which exists only if SELinux is on.
 */
export async function claimStateDir(path: string, label: string | undefined, selinux: string): Promise<void> {
  await chmod(path, 0o700);
  if (label === undefined || !existsSync(selinux)) return;
  await using directory = await open(path);
  setXattr(directory.fd, 'security.selinux', Buffer.from(`${label}\0`));
}
