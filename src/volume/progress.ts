import { formatSize } from '../util/size.ts';
import type { Progress } from './usecases.ts';

/**
 * How far a pull is, in words: "pulled 3.1 GiB of 7.2 GiB, 2 of 5 layers". No percent sign: kubelet makes a pod's events
 * of such a text by printf, and shows "43 %!)(MISSING)".
 */
export function describeProgress(progress: Progress | undefined): string {
  if (progress === undefined) return 'the registry has not answered yet';
  const { bytes, totalBytes, layers, totalLayers } = progress;
  if (progress.phase === 'view') return `all ${formatSize(totalBytes)} are here, and the tree is being built`;
  const pulled = `pulled ${formatSize(bytes)} of ${formatSize(totalBytes)}, ${layers} of ${totalLayers} layers`;
  return progress.phase === 'unpack' ? `${pulled}, unpacking` : pulled;
}
