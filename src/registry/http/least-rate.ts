import { ArtifactError } from '../../util/error.ts';
import { startInterval } from '../../util/interval.ts';
import { formatSize } from '../../util/size.ts';
import type { LeastRate } from './request.ts';

/**
 * Ends a response that is too slow, which the stall time does not: a server that sends a byte now and then would hold a
 * connection, a slot and a file for ever. Another attempt would be as slow, so the error is not transient.
 *
 * @param received returns the bytes so far; undefined while the receiver, not the server, is waiting.
 */
export function watchRate(
  rate: LeastRate,
  url: URL,
  received: () => number | undefined,
  end: (failure: ArtifactError) => void,
): Disposable {
  if (rate.bytesPerSecond === 0) return { [Symbol.dispose]() {} };
  let before = received() ?? 0;
  const look = (): void => {
    const now = received();
    const came = (now ?? 0) - before;
    before = now ?? before;
    if (now !== undefined && came < (rate.bytesPerSecond * rate.overMs) / 1000) end(tooSlow(rate, url, came));
  };
  return startInterval(rate.overMs, look);
}

function tooSlow({ bytesPerSecond, overMs }: LeastRate, url: URL, came: number): ArtifactError {
  return new ArtifactError(
    'unavailable',
    `${url.host} sent ${formatSize(came)} in ${overMs / 1000} s, which is less than the ${formatSize(bytesPerSecond)}/s of --min-download-rate; the download was ended, and goes on from there when it is asked for again`,
  );
}
