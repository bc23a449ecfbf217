import type { Complete, VolumeRecord, VolumeRecords } from '../../ports/records.ts';
import { errnoOf, toArtifactError } from '../../util/error.ts';

/** Errors of a disk that cannot be written, or has no room even for that. */
const unwritable = new Set(['EROFS', 'EIO', 'ENOSPC', 'EDQUOT']);

/** Volume records on a disk that may turn read-only. */
export type DeferringRecords = VolumeRecords &
  Complete<VolumeRecord> & {
    /** Removes the deferred records as far as the disk allows; to be called periodically. */
    settle(): Promise<void>;
  };

/**
 * Lets a volume end although its record cannot be removed: the record counts as gone, and is removed when the disk is
 * writable again. If the daemon restarts before that, reconciliation ends the volume with its pod.
 */
export function deferRemovals(
  records: VolumeRecords & Complete<VolumeRecord>,
  note: (text: string) => void,
): DeferringRecords {
  const owed = new Set<string>();
  const isThere = ({ targetPath }: Pick<VolumeRecord, 'targetPath'>): boolean => !owed.has(targetPath);
  return {
    find: async targetPath => (owed.has(targetPath) ? undefined : records.find(targetPath)),
    async put(record) {
      await records.put(record);
      owed.delete(record.targetPath);
    },
    async remove(targetPath) {
      try {
        await records.remove(targetPath);
        owed.delete(targetPath);
      } catch (thrown) {
        if (!unwritable.has(causeOf(thrown) ?? '')) throw thrown;
        owed.add(targetPath);
        note(
          `the record of the volume at ${targetPath} will be removed when the disk is writable: ${toArtifactError(thrown).message}`,
        );
      }
    },
    list: async () => (await records.list()).filter(isThere),
    listBrief: async () => (await records.listBrief()).filter(isThere),
    listAll: async () => (await records.listAll()).filter(isThere),
    async settle() {
      for (const targetPath of owed) {
        await records.remove(targetPath).then(
          () => owed.delete(targetPath),
          () => false,
        );
      }
    },
  };
}

function causeOf(thrown: unknown): string | undefined {
  return errnoOf(thrown instanceof Error ? thrown.cause : thrown);
}
