import { ArtifactError, errnoOf } from '../util/error.ts';

/** What to do if the kernel or a security module does not let the daemon mount. */
export const bePrivileged =
  'the daemon must run as root and be privileged (securityContext.privileged: true, which gives CAP_SYS_ADMIN and lifts seccomp and AppArmor)';

/** Converts the kernel's error. @param doing what failed, such as `mount /view at /target`. */
export function toMountError(thrown: unknown, doing: string): ArtifactError {
  if (thrown instanceof ArtifactError) return thrown;
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  switch (errnoOf(thrown)) {
    case 'EPERM':
    case 'EACCES':
      return new ArtifactError(
        'denied',
        `the kernel does not let this process ${doing} (${why}): ${bePrivileged}`,
        thrown,
      );
    case 'EROFS':
      return new ArtifactError(
        'unavailable',
        `cannot ${doing}: the filesystem there is read-only; mount it for writing`,
        thrown,
      );
    case 'ENOSPC':
      return new ArtifactError(
        'internal',
        `cannot ${doing} (${why}): the node has as many mounts as fs.mount-max allows, or the disk of the target is full`,
        thrown,
      );
    default:
      return new ArtifactError('internal', `cannot ${doing}: ${why}`, thrown);
  }
}
