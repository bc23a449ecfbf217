import type { Labels } from '../../ports/kube.ts';
import type { NodeLabels } from '../../ports/prefetch.ts';
import { toArtifactError } from '../../util/error.ts';

/** The labels of this node that the addresses of mirrors name. */
export type MirrorLabels = {
  /** Waits for them if they are not known, once in a while. @throws the signal's reason. */
  settle(signal: AbortSignal): Promise<void>;
  /** Those that are known; undefined before `settle`. */
  current(): Labels | undefined;
  /** Why they are not known. */
  problem(): string | undefined;
};

/** How long labels count, and a failure: a thousand nodes must not ask all the time. */
const ttlMs = 5 * 60_000;
const restMs = 60_000;

/** @param read undefined: no label is known. The last good labels stay in use. */
export function openMirrorLabels(
  read: NodeLabels | undefined,
  now: () => number = () => performance.now(),
  random: () => number = Math.random,
): MirrorLabels {
  let labels: Labels | undefined;
  let problem = read === undefined ? 'set --node-labels' : undefined;
  let askAt = 0;

  const ask = async (by: NodeLabels, signal: AbortSignal): Promise<void> => {
    try {
      labels = await by(signal);
      problem = undefined;
      askAt = now() + ttlMs * (0.5 + random());
    } catch (thrown) {
      signal.throwIfAborted();
      problem = toArtifactError(thrown).message;
      askAt = now() + restMs * (0.5 + random());
    }
  };

  return {
    async settle(signal) {
      if (read === undefined || now() < askAt) return;
      const asking = ask(read, signal);
      if (labels === undefined) await asking;
      else asking.catch(() => {}); // the caller goes on with what is known, and may leave
    },
    current: () => labels,
    problem: () => problem,
  };
}
