import { existsSync } from 'node:fs';
import { chmod, open } from 'node:fs/promises';
import { setXattr } from '../util/libc.ts';

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
