import type { Volume, VolumeStatus } from '../ports/usecases.ts';
import { toTimestamp } from './output.ts';

type VolumeDocument = Omit<Volume, 'fingerprint' | 'keepsFolder' | 'publishedAt'> &
  Partial<Omit<VolumeStatus, keyof Volume>> & { readonly publishedAt: string | undefined };

/** A volume as commands print it, with its time in RFC 3339, and nothing that only its record needs. */
export function toVolumeDocument(volume: Volume | VolumeStatus): VolumeDocument {
  const { volumeId, targetPath, anywhere, reference, resolved, digest, manifest, view } = volume;
  const { bytes, inodes, pod, publishedAt } = volume;
  const { mounted, refused, damaged, loading, viewDigest }: Partial<VolumeStatus> = volume;
  return {
    volumeId,
    targetPath,
    anywhere,
    reference,
    resolved,
    digest,
    manifest,
    view,
    ...(viewDigest !== undefined && { viewDigest }),
    bytes,
    inodes,
    ...(pod && { pod }),
    publishedAt: toTimestamp(publishedAt),
    ...(mounted !== undefined && { mounted }),
    ...(refused !== undefined && { refused }),
    ...(damaged !== undefined && { damaged }),
    ...(loading !== undefined && { loading }),
  };
}
