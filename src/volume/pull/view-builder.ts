import type { Digest } from '../../oci/digest.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import { measureTree } from '../../tree/tree.ts';
import { toArtifactError } from '../../util/error.ts';
import { createFairSlots } from '../../util/fair-slots.ts';
import { throughPauses } from '../../util/pause.ts';
import { settle } from '../../util/settle.ts';
import { doInSlices } from '../../util/pace.ts';
import type { Tenants } from '../../util/tenants.ts';
import type { Admitted, AdmittedContent } from '../access/admitted-content.ts';
import { type ViewPlan, contentsOf, itemsOf } from './view-plan.ts';
import type { Meter } from '../../ports/meter.ts';
import type { View, ViewRecord, Views } from '../../ports/store.ts';
import type { Integrity } from '../cache/integrity.ts';
import type { LayerFetcher } from './layer-fetcher.ts';
import type { DiskSpace } from '../cache/disk-space.ts';
import { createProgressTracker, totals } from './progress-tracker.ts';
import type { SettledLayer, Trees } from './trees.ts';
import type { Progress } from '../../ports/usecases.ts';
import { startInterval } from '../../util/interval.ts';

/** Who hears of the progress, and for whom it is. */
export type BuildContext = {
  readonly report: (progress: Progress) => void;
  readonly tenants: Tenants;
};

export type ViewBuilder = {
  /** The view that is there already, and right. @throws as `AdmittedContent.admit`. */
  find(viewPlan: ViewPlan, content: AdmittedContent, signal: AbortSignal): Promise<View | undefined>;
  /**
   * Brings what a plan lacks and builds its view. The caller leases all of it (`heldBy`).
   *
   * @throws ArtifactError `exhausted` before the first byte where the disk has no room for it.
   */
  prepare(
    viewPlan: ViewPlan,
    content: AdmittedContent,
    passage: BuildContext,
    signal: AbortSignal,
  ): Promise<View>;
};

export function createViewBuilder(world: {
  readonly source: LayerFetcher;
  readonly trees: Trees;
  readonly integrity: Integrity;
  readonly views: Pick<Views, 'build' | 'compare'>;
  readonly room: DiskSpace;
  readonly meter: Meter;
  /** Tells the log what of an artifact was left out. */
  readonly note: (reference: string, text: string) => void;
}): ViewBuilder {
  const { source, trees, integrity, views, room, meter } = world;
  const merges = createFairSlots(mergeShares);

  const bringAll = async (
    viewPlan: ViewPlan,
    missing: readonly LayerPlan[],
    content: AdmittedContent,
    { report, tenants }: BuildContext,
    signal: AbortSignal,
  ): Promise<void> => {
    const given = new Set<LayerPlan>();
    const tracker = createProgressTracker({
      plans: viewPlan.plan.layers,
      missing,
      here: layer => source.progress(layer, content.place),
      isShown: layer => given.has(layer) || content.knows(layer.descriptor),
      report,
    });
    using _reservation = await room.reserve(
      viewPlan.reference,
      viewPlan.plan.layers,
      missing,
      tracker.remaining,
      signal,
    );
    const failure = new AbortController();
    const either = AbortSignal.any([signal, failure.signal]);
    using _ticking = startInterval(200, tracker.tick);
    meter.pullStarted();
    try {
      const waiting = missing.values();
      let unwritten = 0;
      const save = async (): Promise<void> => {
        unwritten = 0;
        await content.save();
      };
      const errand = { content, tenants, came: (layer: LayerPlan) => void given.add(layer) };
      const bringOn = async (): Promise<void> => {
        for (const layer of waiting) {
          const { digest, size } = layer.descriptor;
          const giver = await throughPauses(
            () => source.bring(layer, errand, either),
            pause => tracker.pause(layer, pause),
            either,
          );
          if (giver !== undefined) {
            given.add(layer);
            unwritten++;
            // Others of this registry need not download it to know that they may have it.
            content.note(digest, giver);
          }
          tracker.done(layer);
          if (size >= worthAWrite || unwritten >= maxUnwritten) await save();
        }
      };
      try {
        await settle(Array.from({ length: maxQueued }, bringOn), failure);
      } finally {
        await save();
      }
      meter.pullEnded('ok');
    } catch (thrown) {
      meter.pullEnded(signal.aborted ? 'cancelled' : 'error');
      throw thrown;
    }
  };

  /** Afterwards all that the view is made of is here, and right. */
  const bring = async (
    viewPlan: ViewPlan,
    content: AdmittedContent,
    passage: BuildContext,
    signal: AbortSignal,
  ): Promise<Admitted<ViewPlan>> => {
    await integrity.examine(itemsOf(viewPlan), signal);
    const missing = await missingLayers(viewPlan.plan.layers, source);
    // Before the progress of the others counts what is held, and before anything of it is read: both would tell of it.
    const toCome = new Set(missing.map(({ descriptor }) => descriptor.digest));
    const held = contentsOf(viewPlan).filter(({ descriptor }) => !toCome.has(descriptor.digest));
    await content.admitAll(held, signal);
    if (missing.length > 0) await bringAll(viewPlan, missing, content, passage, signal);
    return content.admitView(viewPlan, signal);
  };

  /** What is there already and is right stays: it may be mounted. */
  const build = async (
    viewPlan: Admitted<ViewPlan>,
    { report, tenants }: BuildContext,
    signal: AbortSignal,
  ): Promise<View> => {
    const { plan, selection, key, selected, reference } = viewPlan;
    report({ ...totals(plan.layers), phase: 'view' });
    using turn = await merges.acquire('', tenants, signal);
    const notes: string[] = [];
    const note = (text: string): void => {
      notes.push(text);
      world.note(reference, text);
    };
    const settled = await trees.settle(plan);
    const tree = await trees.merge(settled, selection, note, signal);
    const { manifest, digest } = selected;
    const digests = (form: SettledLayer['form']): readonly Digest[] =>
      settled.layers.filter(layer => layer.form === form).map(layer => layer.descriptor.digest);
    const record: ViewRecord = {
      key,
      manifest: digest,
      reference,
      ...(manifest.artifactType === undefined ? {} : { artifactType: manifest.artifactType }),
      blobs: [...new Set(digests('file'))],
      layers: [...new Set(digests('unpacked'))],
      ...(await doInSlices(measureTree(tree), signal)),
      selection,
      ...(notes.length === 0 ? {} : { notes: cut(notes) }),
    };
    const compared = await views.compare(key, tree, signal);
    if (compared?.problem !== undefined) await integrity.retire(record, compared.problem);
    const view = await views.build(record, tree, signal, () => turn[Symbol.dispose]());
    await integrity.settle(itemsOf(viewPlan));
    return view;
  };

  const find: ViewBuilder['find'] = async (viewPlan, content, signal) => {
    const view = await content.findView(viewPlan, signal);
    if (view === undefined) return undefined;
    return (await integrity.isIntact(view, itemsOf(viewPlan, view), signal)) ? view : undefined;
  };

  return {
    find,
    async prepare(viewPlan, content, passage, signal) {
      const existing = await find(viewPlan, content, signal);
      if (existing !== undefined) return existing;
      // What the names alone forbid is refused before anything is downloaded.
      await trees.verifyNames(viewPlan.plan, signal);
      const admitted = await bring(viewPlan, content, passage, signal);
      try {
        return await build(admitted, passage, signal);
      } catch (thrown) {
        if (toArtifactError(thrown).code !== 'corrupt') throw thrown;
        // It rotted though nobody touched it: now nothing speaks for it, and what is wrong is pulled anew.
        integrity.distrust(itemsOf(viewPlan));
        return build(await bring(viewPlan, content, passage, signal), passage, signal);
      }
    },
  };
}

/** How many layers of one artifact ask at once: those of other artifacts wait behind so many, not behind all of them. */
const maxQueued = 128;
/** What is not noted before a crash must be asked for again: layers of so many bytes are noted one by one, others by the hundreds. */
const worthAWrite = 1024 * 1024;
const maxUnwritten = 250;
/** How many trees are in memory at once: each may have as many entries as a layer. */
const mergeShares = { total: 4, perTenant: 2 };

/** Of all that is to be said about a view, its record has so much; the log has all. */
const maxNotes = 16;

function cut(notes: readonly string[]): readonly string[] {
  if (notes.length <= maxNotes) return notes;
  return [...notes.slice(0, maxNotes), `and ${notes.length - maxNotes} more, in the log`];
}

/** Each digest that is not held, once. */
async function missingLayers(
  plans: readonly LayerPlan[],
  source: LayerFetcher,
): Promise<readonly LayerPlan[]> {
  const unique = [
    ...new Map(plans.map(layer => [`${layer.form} ${layer.descriptor.digest}`, layer])).values(),
  ];
  const held = await Promise.all(unique.map(layer => source.isHeld(layer)));
  return unique.filter((_, index) => held[index] === false);
}
