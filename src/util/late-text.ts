import { formatSize } from './size.ts';

/** What is known of a volume that is loaded while it is mounted. */
type Loaded = {
  readonly bytes: number;
  readonly totalBytes: number;
  readonly bytesPerSecond: number;
  readonly waitingReads: number;
  readonly problem?: string;
};

/**
 * How far a volume is loaded: "on demand: 3.1 GiB of 7.2 GiB, 212 MiB/s, ready in 20 s, 3 reads wait". Without percent
 * signs, which kubelet would format.
 */
export function formatLate({ bytes, totalBytes, bytesPerSecond, waitingReads, problem }: Loaded): string {
  if (bytes === totalBytes && totalBytes > 0) return 'on demand: all is here';
  const rate = bytesPerSecond === 0 ? [] : [`${formatSize(bytesPerSecond)}/s`];
  const left = bytesPerSecond === 0 ? [] : [`ready in ${Math.ceil((totalBytes - bytes) / bytesPerSecond)} s`];
  const waits =
    waitingReads === 0 ? [] : [`${waitingReads} ${waitingReads === 1 ? 'read waits' : 'reads wait'}`];
  const known = totalBytes === 0 ? [] : [`${formatSize(bytes)} of ${formatSize(totalBytes)}`];
  return `on demand: ${[...known, ...rate, ...left, ...waits, ...(problem === undefined ? [] : [problem])].join(', ')}`;
}
