import type { Landing, LateMounts } from '../../ports/landing.ts';
import type { LateView, LateViews } from '../../ports/late-views.ts';
import type { Views } from '../../ports/store.ts';
import { never } from '../../util/abortable.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import type { Crowd } from './crowd.ts';
import type { FailedReads } from './failed-reads.ts';
import type { WaitingView } from './late-start.ts';
import type { NodeLandings } from './node-landings.ts';
import { type LayerReads, waitingOf } from './reads.ts';
import { createViewReads, landingKey, type ViewReads } from './view-reads.ts';

/** Nothing loads it yet. */
export type ResumedView = WaitingView & Pick<ViewReads, 'loadBy'>;

/** Late views of an earlier process whose landings were kept for this one: their reads have waited, and go on. */
export type Resumption = {
  /** To be called before any image is unmounted, and before any call is served. */
  run(): Promise<void>;
  find(key: string): ResumedView | undefined;
  /** How many reads of those that nothing loads wait. */
  waiting(): number;
  /** Something loads it now, and ends it. */
  hand(key: string): void;
  /** Ends one that nothing loads. */
  end(key: string): Promise<void>;
};

/** @param failed called for each read of a view that fails, with its key. */
export function createResumption(
  world: {
    readonly lateViews: Pick<LateViews, 'keys' | 'find' | 'check'>;
    readonly views: Pick<Views, 'find'>;
    readonly images: Pick<LateMounts, 'keepMounted'>;
    readonly landings: Pick<NodeLandings, 'resume'>;
    readonly patienceMs: number;
    readonly openCrowd: () => Crowd;
    readonly warn: (text: string) => void;
  },
  failed: FailedReads['add'],
): Resumption {
  const resumed = new Map<string, ResumedView>();

  const openReads = (late: LateView): { readonly reads: readonly LayerReads[]; readonly of: ViewReads } => {
    const of = createViewReads(world.patienceMs, world.openCrowd(), (...failure) =>
      failed(late.key, ...failure),
    );
    const reads = late.layers.map(({ size }, layer) => of.open(layer, size));
    for (const [layer, each] of reads.entries()) {
      const chunks = late.chunksOf(layer);
      if (late.isShown(layer))
        each.serve(() => late.open(layer)); // it was read just before
      else if (chunks?.hasLied() === true)
        each.refuse(new ArtifactError('corrupt', 'its list of chunks lies'));
      else if (chunks !== undefined) each.serve(() => late.open(layer), chunks.has);
    }
    return { reads, of };
  };

  const keep = async (key: string, own: readonly Landing[]): Promise<AsyncDisposable | undefined> => {
    try {
      const image = (await world.views.find(key))?.image;
      return image && world.images.keepMounted(image, own);
    } catch (thrown) {
      world.warn(toArtifactError(thrown).message); // its reads go on
      return undefined;
    }
  };

  /** Undefined also for one that is damaged or cannot be read: its reads fail, and the others go on. */
  const find = async (key: string): Promise<LateView | undefined> => {
    try {
      const damage = await world.lateViews.check(key, never); // the image says which chunks are here
      if (damage !== undefined) throw new ArtifactError('corrupt', damage);
      return await world.lateViews.find(key);
    } catch (thrown) {
      world.warn(
        `the volume that is loaded on demand (view ${key}) cannot be continued: ${toArtifactError(thrown).message}`,
      );
      return undefined;
    }
  };

  return {
    async run() {
      const found = await Promise.all((await world.lateViews.keys()).map(find));
      const lates = found.filter(late => late !== undefined).map(late => ({ late, ...openReads(late) }));
      const landed = new Map<string, readonly Landing[]>();
      const landings = await world.landings.resume(adding => {
        for (const { late, reads } of lates)
          landed.set(
            late.key,
            reads.map((file, layer) => adding.add(file, landingKey(late.key, layer))),
          );
      });
      if (landings === undefined) return;
      for (const { late, reads, of } of lates) {
        const own = landed.get(late.key) ?? [];
        const kept = await keep(late.key, own);
        resumed.set(late.key, {
          reads,
          loadBy: of.loadBy,
          failure: landings.failure,
          end() {
            for (const { [Symbol.dispose]: dispose } of [...own, ...reads]) dispose();
          },
          unmount: async () => kept?.[Symbol.asyncDispose](),
        });
      }
    },
    find: key => resumed.get(key),
    waiting: () => resumed.values().reduce((sum, { reads }) => sum + waitingOf(reads), 0),
    hand: key => void resumed.delete(key),
    async end(key) {
      const view = resumed.get(key);
      resumed.delete(key);
      view?.end();
      await view?.unmount();
    },
  };
}
