import type { Landings, TriedLandings } from '../../ports/landing.ts';
import type { LateSupport } from '../../ports/on-demand.ts';
import { toArtifactError } from '../../util/error.ts';

/** The landings of this node. */
export type NodeLandings = AsyncDisposable &
  Pick<Landings, 'leave'> & {
    /**
     * Opens them at the first call: most nodes load nothing on demand. Undefined if this node cannot load on demand. What
     * failed, or has ended since, is tried again at a call, after a pause.
     */
    open(): Promise<TriedLandings | undefined>;
    /** Continues those of an earlier process, if they were kept. Comes before `open`. */
    resume(prepare: (landings: Pick<Landings, 'add'>) => void): Promise<TriedLandings | undefined>;
    support(): LateSupport;
  };

const pauseMs = 5 * 60_000;

/** @param never why it is not even tried. */
export function openNodeLandings(
  never: string | undefined,
  tryLandings: () => Promise<TriedLandings>,
  resumeLandings: NodeLandings['resume'],
  now = (): number => performance.now(),
): NodeLandings {
  let opened: Promise<TriedLandings | undefined> | undefined;
  let current: TriedLandings | undefined;
  let reason = never;
  let triedAt = Number.NEGATIVE_INFINITY;

  const problem = (): string | undefined => current?.failure() ?? reason;

  const open = async (): Promise<TriedLandings | undefined> => {
    triedAt = now();
    reason = problem();
    current = undefined; // those that have ended are still of the views that use them
    try {
      current = await tryLandings();
      reason = undefined;
    } catch (thrown) {
      reason = toArtifactError(thrown).message;
    }
    return current;
  };

  return {
    async open() {
      if (never !== undefined) return undefined;
      if (problem() !== undefined && now() - triedAt >= pauseMs) opened = undefined;
      const landings = await (opened ??= open());
      return problem() === undefined ? landings : undefined;
    },
    async resume(prepare) {
      current = never === undefined ? await resumeLandings(prepare) : undefined;
      if (current !== undefined) opened = Promise.resolve(current);
      return current;
    },
    leave: () => current?.leave(),
    support() {
      const why = problem();
      if (why !== undefined) return { kind: 'off', reason: why };
      return { kind: current === undefined ? 'untried' : 'on' };
    },
    async [Symbol.asyncDispose]() {
      await opened;
      await current?.[Symbol.asyncDispose]();
    },
  };
}
