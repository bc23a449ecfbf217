import type { PublishRequest } from '../ports/request.ts';
import { ArtifactError } from '../util/error.ts';

/**
 * Container runtimes clear the read-only flag of the pod's own copy of a mount, unless the volume is requested
 * read-only. The pod could then write to a tree of hard links, and so to the cache. Nobody can write to an image.
 *
 * @throws ArtifactError `invalid`.
 */
export function verifyProtected({ isWritable }: Pick<PublishRequest, 'isWritable'>, isImage: boolean): void {
  if (isWritable !== true || isImage) return;
  throw new ArtifactError(
    'invalid',
    'the volume is not read-only; set readOnly: true under volumes[].csi (for a claim: persistentVolumeClaim.readOnly: true, because its access mode alone does not make it so)',
  );
}
