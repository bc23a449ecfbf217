import type { Disk } from '../../ports/disk.ts';
import { ArtifactError, isFullDisk, toArtifactError } from '../../util/error.ts';
import { formatSize } from '../../util/size.ts';

/**
 * Adds to the error of a write for which the disk had no space what the disk has, now that the unfinished files are
 * removed, and what is needed. Returns other errors as they are.
 *
 * @param needed bytes; 0 if that is not known.
 */
export async function measureFullDisk(
  thrown: unknown,
  disk: Disk,
  subject: string,
  needed: number,
): Promise<unknown> {
  const { code, message } = toArtifactError(thrown);
  if (!isFullDisk(thrown)) return thrown;
  const usage = await disk.usage().catch(() => undefined);
  if (usage === undefined) return thrown;
  const { availableBytes, totalInodes, usedInodes } = usage;
  const inodes = totalInodes === 0 ? '' : ` and ${totalInodes - usedInodes} inodes`;
  const need = needed > 0 ? `, and ${subject} needs ${formatSize(needed)} more` : '';
  return new ArtifactError(
    code,
    `${message}: it has ${formatSize(availableBytes)}${inodes} free${need}`,
    thrown,
  );
}
