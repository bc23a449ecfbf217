import type { AskedVolume, FailingVolume } from '../ports/failing-volume.ts';
import type { ArtifactError } from '../util/error.ts';
import { shortenBytes } from '../util/name.ts';
import { redact, secretTexts } from './redaction.ts';

/**
 * The volumes of pods that could not be published. kubelet waits between its calls for a volume, and nothing else in
 * this program knows of the volume meanwhile.
 */
export type FailingVolumes = {
  /** Counts a failure. The secrets of the request are redacted. */
  failed(asked: AskedVolume, error: ArtifactError): void;
  /** The volume is published, or no longer wanted. */
  ended(targetPath: string): void;
  /** Those that began to fail first come first. */
  list(): readonly FailingVolume[];
};

/** kubelet calls again within 2 min 2 s after a call has ended, and a call takes 2 min at the most. */
const forgottenMs = 5 * 60_000;
/** Far more volumes than the pods of one node have. */
const mostVolumes = 1_000;
/** In bytes. A Kubernetes event holds as much. */
const longestMessage = 1024;
const longestReference = 512;

/** `elapsed`: milliseconds since any time. `date`: milliseconds since 1970. */
type Clock = { readonly elapsed: () => number; readonly date: () => number };

export function createFailingVolumes(
  { elapsed, date }: Clock = { elapsed: () => performance.now(), date: Date.now },
): FailingVolumes {
  /** By target path, the one that failed least recently first. */
  const failing = new Map<string, { readonly volume: FailingVolume; readonly at: number }>();

  const forget = (now: number): void => {
    for (const [targetPath, { at }] of failing) {
      if (failing.size <= mostVolumes && now - at <= forgottenMs) return;
      failing.delete(targetPath);
    }
  };

  return {
    failed(asked, { code, message }) {
      const { targetPath, pod, reference } = asked;
      const now = elapsed();
      forget(now);
      const before = failing.get(targetPath)?.volume;
      const secrets = secretTexts(asked);
      const show = (text: string, longest: number): string =>
        shortenBytes(redact(text, secrets).toWellFormed(), longest);
      const failedAt = date();
      const volume = {
        targetPath,
        ...(pod && { pod }),
        reference: show(reference, longestReference),
        code,
        message: show(message, longestMessage),
        since: before?.since ?? failedAt,
        failedAt,
        failures: (before?.failures ?? 0) + 1,
      };
      failing.delete(targetPath); // so that it becomes the last
      failing.set(targetPath, { volume, at: now });
      forget(now);
    },
    ended: targetPath => void failing.delete(targetPath),
    list() {
      forget(elapsed());
      const volumes = [...failing.values()].map(({ volume }) => volume);
      return volumes.toSorted((a, b) => a.since - b.since);
    },
  };
}
