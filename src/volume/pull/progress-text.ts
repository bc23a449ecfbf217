import type { Progress } from '../../ports/usecases.ts';
import { formatSize } from '../../util/size.ts';

/**
 * The progress of a pull in words: "pulled 3.1 GiB of 7.2 GiB, 2 of 5 layers". Without percent signs: kubelet formats
 * pod events by printf, and would show "43 %!)(MISSING)".
 */
export function describeProgress(progress: Progress | undefined): string {
  if (progress === undefined) return unanswered;
  const { totalBytes, waits } = progress;
  if (waits !== undefined) return totalBytes === 0 ? waits : `${waits}; ${pulledOf(progress)}`;
  if (progress.phase === 'resolve') return unanswered;
  if (progress.phase === 'build')
    return `all ${formatSize(totalBytes)} are here, and the view is being built`;
  return progress.phase === 'unpack' ? `${pulledOf(progress)}, unpacking` : pulledOf(progress);
}

/**
 * What the next call finds. `goesOn`: the pull continues between calls. Until there is a manifest, it does not, and each
 * call asks the registry itself.
 */
export function describeNext(progress: Progress | undefined, goesOn: boolean): string {
  if (goesOn) return 'it goes on, and the next call joins it';
  if (progress === undefined || progress.phase === 'resolve') return 'the next call asks again';
  return progress.bytes === 0
    ? 'the next call starts again'
    : 'what was downloaded is kept, and the next call continues from there';
}

const unanswered = 'the registry has not answered yet';

function pulledOf({ bytes, totalBytes, layers, totalLayers }: Progress): string {
  return `pulled ${formatSize(bytes)} of ${formatSize(totalBytes)}, ${layers} of ${totalLayers} layers`;
}
