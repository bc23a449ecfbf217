import type { Origin } from '../../ports/publishing.ts';
import type { Progress, Volume } from '../../ports/usecases.ts';
import { formatSeconds } from '../../util/retry.ts';
import { formatSize } from '../../util/size.ts';
import { describeProgress } from '../pull/progress-text.ts';

/** A pull as the owner of a pod is told of it, over all calls of kubelet for the volume. Times are in milliseconds. */
export type PullStory = {
  readonly since: number;
  /** When its progress was told last. */
  readonly toldAt: number;
};

/** An event without its pod. */
export type Told = { readonly reason: 'Pulling' | 'Pulled' | 'Mounted'; readonly message: string };

/** A volume that was mounted. */
export type Mounted = Pick<Volume, 'digest' | 'bytes'> & { readonly origin: Origin };

/** How often the progress of a pull is told. */
const everyMs = 60_000;

/**
 * Continues the story of a pull by its progress. A pull that neither downloads nor waits is not told of: its volume is
 * mounted from the cache.
 */
export function tellProgress(
  story: PullStory | undefined,
  subject: string,
  progress: Progress,
  now: number,
): { readonly story: PullStory | undefined; readonly told?: Told } {
  const { bytes, totalBytes, bytesPerSecond, waits } = progress;
  const isPulling = waits !== undefined || bytes < totalBytes;
  if (story === undefined && !isPulling) return { story };
  const known = story ?? { since: now, toldAt: Number.NEGATIVE_INFINITY };
  if (now - known.toldAt < everyMs) return { story: known };
  const rate = bytesPerSecond > 0 ? `, ${formatSize(bytesPerSecond)}/s` : '';
  const message = `Pulling ${subject}: ${describeProgress(progress)}${rate}`;
  return { story: { ...known, toldAt: now }, told: { reason: 'Pulling', message } };
}

/** The end of the story: how the mounted content came here. */
export function tellMounted(
  story: PullStory | undefined,
  subject: string,
  { digest, bytes, origin: { pulled, resumed, cached, later } }: Mounted,
  now: number,
): Told {
  if (later !== undefined) {
    return {
      reason: 'Mounted',
      message: `Mounted ${subject}: the rest of its ${formatSize(bytes)} is downloaded while the pod runs, ${digest}`,
    };
  }
  if (story === undefined || pulled + resumed === 0) {
    return {
      reason: 'Mounted',
      message: `Mounted ${subject} from the cache: ${formatSize(bytes)}, ${digest}`,
    };
  }
  const ms = Math.max(now - story.since, 1);
  const facts = [
    `${formatSize(pulled)} at ${formatSize((pulled / ms) * 1000)}/s`,
    resumed === 0 ? '' : `${formatSize(resumed)} were downloaded before an interruption`,
    cached === 0 ? '' : `${formatSize(cached)} were in the cache`,
  ];
  const counted = facts.filter(fact => fact !== '').join(', ');
  return { reason: 'Pulled', message: `Pulled ${subject} in ${formatSeconds(ms)}: ${counted}, ${digest}` };
}

/** `registry/model:v1 for the volume "model"`, by the name in the pod or of the PersistentVolume. */
export function formatSubject(reference: string, targetPath: string): string {
  const name = /\/volumes\/kubernetes\.io~csi\/([^/]+)\/mount$/.exec(targetPath)?.[1];
  return name === undefined ? reference : `${reference} for the volume "${name}"`;
}
