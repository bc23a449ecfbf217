import type { LateView, LateViews } from '../../ports/late-views.ts';
import type { LateStatus } from '../../ports/on-demand.ts';
import type { Brief, VolumeRecord } from '../../ports/records.ts';
import type { PullRequest } from '../../ports/request.ts';
import type { View, Views } from '../../ports/store.ts';
import { toArtifactError } from '../../util/error.ts';
import type { Integrity } from '../cache/integrity.ts';

/** The late views that volumes of an earlier process show, as far as nothing in this process loads them. */
export type Revivals = {
  /**
   * Continues the late view of a volume, with what `request` knows better. Does nothing while that is tried. One of which
   * all is here needs nobody, and the kernel is made to read its map again, which it may have missed. One with a damaged
   * image is taken out of use, and its volumes keep what they show. Never rejects.
   */
  revive(record: Brief<VolumeRecord>, request: Partial<PullRequest>): Promise<void>;
  /** It is loaded now, or no volume shows it any more. */
  forget(key: string): void;
  /** Undefined for a view of which it is not known yet whether anything is missing. */
  status(key: string): LateStatus | undefined;
  /** Those that fail or are tried, and those of which all is here, by key. */
  list(): { readonly stalled: readonly string[]; readonly complete: readonly string[] };
};

type Revival =
  | { readonly kind: 'tried' }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'complete'; readonly late: LateView };

/** `pull`: opens the late view of a volume of an earlier process. `revived`: a try has succeeded. */
export function createRevivals(
  world: {
    readonly lateViews: Pick<LateViews, 'find' | 'check'>;
    readonly integrity: Pick<Integrity, 'retire'>;
    readonly views: Pick<Views, 'find'>;
    readonly pull: (request: PullRequest, signal: AbortSignal) => Promise<void>;
    readonly waitingReads: (key: string) => number;
    readonly warn: (text: string) => void;
  },
  revived: (key: string) => Promise<void>,
  signal: AbortSignal,
): Revivals {
  const revivals = new Map<string, Revival>();
  /** Of those that are looked for or tried. */
  const busy = new Set<string>();

  return {
    async revive(record, request) {
      const { view: key, targetPath } = record;
      const before = revivals.get(key);
      if (before?.kind === 'complete') return await before.late.reread().catch(() => {}); // the volume has just ended
      if (busy.has(key)) return;
      busy.add(key);
      /** Unless its last volume has ended meanwhile. */
      const become = (revival: Revival): void => {
        if (busy.has(key)) revivals.set(key, revival);
      };
      try {
        const view = await world.views.find(key);
        if (view?.selection === undefined) return;
        const damage = await world.lateViews.check(key, signal);
        if (damage !== undefined) {
          await world.integrity.retire(view, damage);
          return void revivals.delete(key);
        }
        const late = await world.lateViews.find(key);
        if (late === undefined) return;
        await late.reread(); // the earlier process may have been killed before it could
        if (late.layers.every((_, layer) => late.isShown(layer))) return become({ kind: 'complete', late });
        become({ kind: 'tried' });
        await world.pull(revivalOf(record, late, view.selection, request), signal);
        revivals.delete(key);
        await revived(key);
      } catch (thrown) {
        if (!busy.has(key)) return;
        const { message } = toArtifactError(thrown);
        become({ kind: 'failed', message });
        const isTold = before?.kind === 'failed' && before.message === message;
        if (!signal.aborted && !isTold)
          world.warn(`the volume at ${targetPath}, which is loaded on demand, is not continued: ${message}`);
      } finally {
        busy.delete(key);
      }
    },
    forget(key) {
      revivals.delete(key);
      busy.delete(key);
    },
    status(key) {
      const revival = revivals.get(key);
      if (revival === undefined) return undefined;
      const layers = revival.kind === 'complete' ? revival.late.layers : [];
      const bytes = layers.reduce((sum, { size }) => sum + size, 0);
      const progress = {
        bytes,
        totalBytes: bytes,
        bytesPerSecond: 0,
        waitingReads: world.waitingReads(key),
      };
      if (revival.kind === 'complete') return progress;
      return { ...progress, problem: revival.kind === 'failed' ? revival.message : 'it is being continued' };
    },
    list() {
      const keys = [...revivals.keys()];
      const isComplete = (key: string): boolean => revivals.get(key)?.kind === 'complete';
      return { stalled: keys.filter(key => !isComplete(key)), complete: keys.filter(isComplete) };
    },
  };
}

/** The pull that continues the late view of a volume: of exactly its content, and with what `request` knows better. */
function revivalOf(
  record: Brief<VolumeRecord>,
  { platform }: LateView,
  selection: NonNullable<View['selection']>,
  request: Partial<PullRequest>,
): PullRequest {
  const { view, targetPath, resolved, digest } = record;
  return {
    secrets: {},
    ...callerOf(record),
    ...(platform && { platform }),
    ...request,
    targetPath,
    selection,
    reference: resolved,
    pinned: digest,
    pullPolicy: 'IfNotPresent',
    late: view,
  };
}

/** Who asked for a volume of an earlier process. */
export function callerOf({
  anywhere,
  pod,
}: Pick<VolumeRecord, 'anywhere' | 'pod'>): Pick<PullRequest, 'caller' | 'pod'> {
  return { caller: anywhere ? 'administrator' : 'pod', ...(pod && { pod }) };
}
