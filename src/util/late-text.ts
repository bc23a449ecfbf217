import { formatSize } from './size.ts';

/** What is known of a volume that is loaded while it is mounted. */
type Loaded = {
  readonly bytes: number;
  readonly totalBytes: number;
  readonly bytesPerSecond: number;
  readonly waitingReads: number;
  readonly problem?: string;
  readonly stopped?: true;
};

const stoppedText = 'stopped by `pull --cancel`: only what is read is downloaded; `pull` loads the rest';

/**
 * How far a volume is loaded: "on demand: 43 % of 7.2 GiB, 212 MiB/s, ready in 20 s, 3 reads wait". For people: kubelet
 * would format the percent sign.
 */
export function formatLate(loaded: Loaded): string {
  const { bytes, totalBytes, bytesPerSecond, waitingReads, problem, stopped } = loaded;
  if (isLoaded({ bytes, totalBytes })) return 'on demand: complete';
  const rate = bytesPerSecond === 0 ? [] : [`${formatSize(bytesPerSecond)}/s`];
  const left = bytesPerSecond === 0 ? [] : [`ready in ${Math.ceil((totalBytes - bytes) / bytesPerSecond)} s`];
  const waits =
    waitingReads === 0 ? [] : [`${waitingReads} ${waitingReads === 1 ? 'read waits' : 'reads wait'}`];
  const known =
    totalBytes === 0 ? [] : [`${Math.floor((100 * bytes) / totalBytes)} % of ${formatSize(totalBytes)}`];
  const why = [problem ?? [], stopped ? stoppedText : []].flat();
  return `on demand: ${[...known, ...rate, ...left, ...waits, ...why].join(', ')}`;
}

/** Before the first report nothing is known of it. */
export function isLoaded({ bytes, totalBytes }: Pick<Loaded, 'bytes' | 'totalBytes'>): boolean {
  return bytes === totalBytes && totalBytes > 0;
}
