import type { VolumeEvent, VolumeEvents } from '../../ports/events.ts';
import type { PublishRequest } from '../../ports/request.ts';
import type { Progress } from '../../ports/usecases.ts';
import type { ArtifactError } from '../../util/error.ts';
import { createRecall } from '../../util/memo.ts';
import { resolving } from '../pull/progress.ts';
import { describeProgress } from '../pull/progress-text.ts';
import { redact, type Secrets, secretTexts } from '../redaction.ts';
import {
  formatSubject,
  type Mounted,
  type PullStory,
  type Told,
  tellMounted,
  tellProgress,
} from './pull-story.ts';

/** What one call to publish reports to the owner of its pod, until it is disposed. None of these waits or fails. */
export type PublishReport = Disposable & {
  progress(progress: Progress): void;
  mounted(volume: Mounted): void;
  failed(error: ArtifactError): void;
};

export type PublishReports = {
  /** Undefined if the pod of the volume is not known, as for one of a command. */
  open(request: PublishRequest): PublishReport | undefined;
};

/** When a call is told of that neither downloads nor ends, ms. */
const quietMs = 20_000;
/** Far more volumes than the pods of one node have. kubelet may never call again for a pod that was deleted. */
const maxStories = 1_000;

/** Tells the owners of pods what happens to their volumes. */
export function createPublishReports(
  events: VolumeEvents,
  now: () => number = () => performance.now(),
  quiet: number = quietMs,
): PublishReports {
  /** Pulls between two calls for a volume, by target path. */
  const stories = createRecall<string, PullStory>(maxStories);

  return {
    open(request) {
      const { pod, targetPath, reference } = request;
      if (pod === undefined) return undefined;
      const subject = formatSubject(reference, targetPath);
      let secrets: { readonly texts: Secrets } | undefined;
      // Also what a pull waits for quotes the registry.
      const send = (event: Pick<VolumeEvent, 'type' | 'reason' | 'kind' | 'message'>): void => {
        secrets ??= { texts: secretTexts(request) };
        events.send({ pod, targetPath, ...event, message: redact(event.message, secrets.texts) });
      };
      const tell = (told: Told): void => send({ type: 'Normal', kind: '', ...told });
      const continueStory = (progress: Progress): void => {
        const { story, told } = tellProgress(stories.get(targetPath), subject, progress, now());
        if (story !== undefined) stories.keep(targetPath, story);
        if (told !== undefined) tell(told);
      };
      const timer = setTimeout(() => {
        const isTold = stories.get(targetPath) !== undefined;
        if (!isTold) continueStory({ ...resolving, waits: describeProgress(undefined) });
      }, quiet).unref();
      return {
        progress: continueStory,
        mounted(volume) {
          tell(tellMounted(stories.get(targetPath), subject, volume, now()));
          stories.delete(targetPath);
        },
        failed({ code, message }) {
          stories.delete(targetPath);
          send({ type: 'Warning', reason: 'FailedMount', kind: code, message });
        },
        [Symbol.dispose]: () => clearTimeout(timer),
      };
    },
  };
}
