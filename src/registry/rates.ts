import { createTokenBucket } from '../util/token-bucket.ts';
import type { BucketOf } from './mirrors/failover.ts';

/**
 * Bounds the rate of all downloads of this node together, in bytes per second; 0 for no bound. What mirrors send counts
 * by their rate alone if they have one.
 *
 * Returns undefined if nothing is bounded.
 */
export function createRates(downloadRate: number, mirrorRate: number): BucketOf | undefined {
  if (downloadRate === 0 && mirrorRate === 0) return undefined;
  const downloads = downloadRate === 0 ? undefined : createTokenBucket(downloadRate);
  const mirrors = mirrorRate === 0 ? downloads : createTokenBucket(mirrorRate);
  return ({ mirrorOf }) => (mirrorOf === undefined ? downloads : mirrors);
}
