import { formatSize } from '../util/size.ts';
import type { CompressedFile } from './compression.ts';

/** The limits of one layer, against decompression bombs. */
export type UnpackLimits = {
  /** Entries of the tar (`--max-layer-entries`). */
  readonly maxEntries: number;
  /** Bytes of the uncompressed tar (`--max-layer-size`). */
  readonly maxBytes: number;
  /** Uncompressed bytes per compressed byte, checked above 10 MiB (`--max-layer-ratio`). */
  readonly maxRatio: number;
};

/** Below this many uncompressed bytes the ratio is not checked. */
const ratioFloor = 10 * 1024 * 1024;

/** The maximum bytes of a tar and of the holes of its sparse files, and the error for a tar that has more. */
export type ByteBound = {
  readonly bytes: number;
  readonly excess: string;
  readonly sparseBytes: number;
  readonly sparseExcess: string;
};

/**
 * Returns how many bytes a tar may have, given the size of its layer. The holes of sparse files are zeros that only
 * their map describes, so their ratio is checked even without compression.
 */
export function boundBytes(
  { maxBytes, maxRatio }: UnpackLimits,
  { compression, size }: CompressedFile,
): ByteBound {
  const byRatio = Math.max(ratioFloor, maxRatio * size);
  const bySize = `unpacks to more than ${formatSize(maxBytes)} (--max-layer-size)`;
  const ratio = `unpacks to more than ${maxRatio} times its ${formatSize(size)} (--max-layer-ratio)`;
  const [sparseBytes, sparseExcess] = maxBytes <= byRatio ? [maxBytes, bySize] : [byRatio, ratio];
  const isPlain = compression === 'none';
  return {
    bytes: isPlain ? maxBytes : sparseBytes,
    excess: isPlain ? bySize : sparseExcess,
    sparseBytes,
    sparseExcess,
  };
}
