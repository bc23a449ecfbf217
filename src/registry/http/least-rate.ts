import { ArtifactError } from '../../util/error.ts';
import { formatSize } from '../../util/size.ts';
import type { LeastRate } from './request.ts';
import { startInterval } from '../../util/interval.ts';

/**
 * Ends what brings too little, which no stall ends: a server that sends a byte now and then holds a connection, a slot
 * and a file for ever. Another try would be as slow, so that what is thrown does not pass.
 *
 * @param received bytes so far; undefined while it is not the server that is waited for.
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
