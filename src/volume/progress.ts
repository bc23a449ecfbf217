import { formatSize } from '../util/size.ts';
import type { Progress } from './usecases.ts';

/** How far a pull is, in words: "pulled 3.1 GiB of 7.2 GiB (43 %), 2 of 5 layers". */
export function describeProgress(progress: Progress | undefined): string {
  if (progress === undefined) return 'the registry has not answered yet';
  const { bytes, totalBytes, layers, totalLayers } = progress;
  if (progress.phase === 'view') return `all ${formatSize(totalBytes)} are here, and the tree is being built`;
  const percent = totalBytes === 0 ? 100 : Math.floor((100 * bytes) / totalBytes);
  const pulled = `pulled ${formatSize(bytes)} of ${formatSize(totalBytes)} (${percent} %), ${layers} of ${totalLayers} layers`;
  return progress.phase === 'unpack' ? `${pulled}, unpacking` : pulled;
}
