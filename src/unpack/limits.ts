import type { CompressedFile } from './compression.ts';
import { formatSize } from '../util/size.ts';

/** What one layer may cost before it is taken for a bomb. */
export type UnpackLimits = {
  /** Entries of the tar (`--max-layer-entries`). */
  readonly maxEntries: number;
  /** Bytes of the uncompressed tar (`--max-layer-size`). */
  readonly maxBytes: number;
  /** Uncompressed bytes for each compressed one, judged once there are more than 10 MiB (`--max-layer-ratio`). */
  readonly maxRatio: number;
};

/** Below this many uncompressed bytes no ratio is suspicious. */
const ratioFloor = 10 * 1024 * 1024;

/** Most bytes of a tar, most bytes of holes of its sparse files, and what is said of a tar that has more. */
export type ByteBound = {
  readonly bytes: number;
  readonly excess: string;
  readonly sparseBytes: number;
  readonly sparseExcess: string;
};

/**
 * How many bytes a tar may have, given the size of the layer that it comes from. The holes of sparse files are zeros that
 * only their map stands for, so that their ratio counts even where nothing is compressed.
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
