import type { Publishing } from '../ports/publishing.ts';
import { DeadlineNear } from '../util/deadline-near.ts';
import { createRecall } from '../util/memo.ts';

/** Far more volumes than the pods of one node have. kubelet need not unpublish one that was never mounted. */
const maxTargets = 1_000;

/**
 * Ends the first call for a volume of a pod with its progress after `afterMs`. kubelet shows that answer as an event of
 * the pod, and calls again at once. Each further call waits as long as its deadline allows.
 */
export function answerEarly(publishing: Publishing, afterMs: number): Publishing {
  /** The target paths whose first call was answered. */
  const answered = createRecall<string, true>(maxTargets);

  return {
    ...publishing,
    publish(request, signal) {
      const { anywhere, targetPath } = request;
      if (anywhere || answered.get(targetPath)) return publishing.publish(request, signal);
      // Without AbortSignal.any, which keeps all of a call until the next full collection of garbage.
      const either = new AbortController();
      let isEarly = false;
      const timer = setTimeout(() => {
        isEarly = !either.signal.aborted;
        either.abort(new DeadlineNear('the first answer is due'));
      }, afterMs);
      const abort = (): void => either.abort(signal.reason);
      signal.addEventListener('abort', abort);
      if (signal.aborted) abort();
      return publishing.publish(request, either.signal).finally(() => {
        clearTimeout(timer);
        signal.removeEventListener('abort', abort);
        if (isEarly) answered.keep(targetPath, true);
      });
    },
    unpublish(target, signal) {
      answered.delete(target.path);
      return publishing.unpublish(target, signal);
    },
  };
}
