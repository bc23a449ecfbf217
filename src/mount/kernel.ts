import { constants, release } from 'node:os';
import { probeMountSetattr } from '../linux/mount.ts';
import { ArtifactError } from '../util/error.ts';
import { bePrivileged } from './error.ts';

/**
 * Checks that this kernel can restrict a mount before it is visible (mount_setattr, Linux 5.12).
 *
 * @param probe returns the errno of a mount_setattr call that cannot succeed.
 * @throws `denied` with what the node lacks.
 */
export function verifyKernel(probe: () => number = probeMountSetattr): void {
  switch (probe()) {
    case constants.errno.EINVAL:
      return;
    case constants.errno.ENOSYS:
      throw new ArtifactError(
        'denied',
        `Linux ${release()} has no mount_setattr, without which a volume would be writable for a moment: this node needs Linux 5.12 or newer (if it has that, a seccomp profile hides the call, and ${bePrivileged})`,
      );
    default:
      throw new ArtifactError('denied', `the kernel refuses mount_setattr: ${bePrivileged}`);
  }
}
