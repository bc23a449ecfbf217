import type { Digest } from '../../oci/digest.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import type { Disk } from '../../ports/disk.ts';
import type { Meter } from '../../ports/meter.ts';
import type { Origin } from '../../ports/publishing.ts';
import type { Blobs, Layers, View, ViewRecord, Views } from '../../ports/store.ts';
import type { LayerForm } from '../../tree/toc.ts';
import { type DirectoryNode, measureTree } from '../../tree/tree.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { createFairSlots, type Shares, type Tenants } from '../../util/fair-slots.ts';
import { doInSlices, startPace } from '../../util/pace.ts';
import type { Admitted, AdmittedContent } from '../access/admitted-content.ts';
import type { DiskSpace } from '../cache/disk-space.ts';
import { measureFullDisk } from '../cache/full-disk.ts';
import type { Integrity } from '../cache/integrity.ts';
import type { Leases } from '../cache/leases.ts';
import type { LayerFetcher } from './layer-fetcher.ts';
import {
  type BuildContext,
  createMissingLayers,
  type MissingLayers,
  type WantedLayers,
} from './missing-layers.ts';
import { totals } from './progress.ts';
import type { SettledLayer, SettledPlan, Trees } from './trees.ts';
import { createLayerForms } from './view-form.ts';
import { findMissing, itemsOf, uniqueLayers, type ViewPlan } from './view-plan.ts';

export type ViewBuilder = {
  /** Finds an existing undamaged view whose content is all known to be in the repository. */
  find(viewPlan: ViewPlan, content: AdmittedContent, signal: AbortSignal): Promise<View | undefined>;
  /**
   * Fetches what a plan lacks, and what nothing but its bytes proves to be in the repository, builds its view and
   * records it. All of it is leased until then. Answers where the bytes of its layers came from.
   *
   * @throws ArtifactError `exhausted` before the first byte if the disk has no space for it.
   */
  prepare(
    viewPlan: ViewPlan,
    content: AdmittedContent,
    context: BuildContext,
    signal: AbortSignal,
  ): Promise<Origin>;
  /**
   * Verifies and admits what is cached of the view. Returns all layers, each once, those that are not cached, and those
   * that lack a proof.
   */
  admitHeld(
    viewPlan: ViewPlan,
    form: LayerForm,
    content: AdmittedContent,
    signal: AbortSignal,
  ): Promise<WantedLayers & { readonly all: readonly LayerPlan[] }>;
  fetch: MissingLayers['fetch'];
  share: MissingLayers['share'];
  /** Merges the cached layers of a plan, whose tars have the form of `formOf`. The tree may be used until it is disposed. */
  merge(
    viewPlan: ViewPlan,
    formOf: (plan: SettledPlan) => Promise<LayerForm>,
    tenants: Tenants,
    signal: AbortSignal,
  ): Promise<MergedView>;
};

/** The tree of a view and its record, before the view is built. */
export type MergedView = Disposable & {
  readonly tree: DirectoryNode;
  readonly record: ViewRecord;
  readonly form: LayerForm;
};

export function createViewBuilder(world: {
  readonly nodeId: string;
  readonly source: LayerFetcher;
  readonly trees: Trees;
  readonly integrity: Integrity;
  readonly blobs: Pick<Blobs, 'expect'>;
  readonly views: Pick<Views, 'find' | 'build' | 'compare'>;
  readonly layers: Pick<Layers, 'form' | 'has'>;
  /** Whether views can be images over the tars of their layers. */
  readonly hasImages: boolean;
  readonly room: DiskSpace;
  readonly disk: Disk;
  readonly meter: Meter;
  readonly leases: Pick<Leases, 'hold'>;
  /** Logs what was left out of an artifact. */
  readonly note: (reference: string, text: string) => void;
}): ViewBuilder {
  const { source, trees, integrity, views } = world;
  const forms = createLayerForms(world, world.hasImages);
  const merges = createFairSlots(mergeShares);
  const missingLayers = createMissingLayers({ ...world, merges });

  const admitHeld: ViewBuilder['admitHeld'] = async (viewPlan, form, content, signal) => {
    const pace = startPace(signal); // each step looks at all layers
    await integrity.examine(itemsOf(viewPlan), signal);
    const all = await uniqueLayers(viewPlan.plan.layers, signal);
    const missing = await findMissing(all, layer => source.isHeld(layer, form), signal);
    // Before progress counts cached content of other layers, and before it is read, because both would reveal it.
    const toCome = new Set(missing.map(({ descriptor }) => descriptor.digest));
    const held = viewPlan.contents.filter(({ descriptor }) => !toCome.has(descriptor.digest));
    await pace();
    const strange = await content.admitAll(held, signal);
    await pace();
    const digests = new Set(strange.map(({ descriptor }) => descriptor.digest));
    return { all, missing, unproven: all.filter(({ descriptor }) => digests.has(descriptor.digest)) };
  };

  const merge: ViewBuilder['merge'] = async (viewPlan, formOf, tenants, signal) => {
    const { plan, selection, reference } = viewPlan;
    using stack = new DisposableStack();
    stack.use(await merges.acquire('', tenants, signal));
    const notes: string[] = [];
    const note = (text: string): void => {
      notes.push(text);
      world.note(reference, text);
    };
    const settled = await trees.settle(plan, signal);
    const form = await formOf(settled);
    const tree = await trees.merge({ ...settled, stored: form }, selection, note, signal);
    const measured = await doInSlices(measureTree(tree), signal);
    const record = toViewRecord(viewPlan, settled, measured, notes);
    const turn = stack.move();
    return { tree, record, form, [Symbol.dispose]: () => turn.dispose() };
  };

  /** Keeps an existing undamaged view, which may be mounted. */
  const build = async (
    viewPlan: Admitted<ViewPlan>,
    wanted: LayerForm,
    { tenants }: BuildContext,
    signal: AbortSignal,
  ): Promise<View> => {
    const { key } = viewPlan;
    const keep = (settled: SettledPlan): Promise<LayerForm> => forms.keep(key, settled, wanted);
    using merged = await merge(viewPlan, keep, tenants, signal);
    const { tree, record, form } = merged;
    const compared = await views.compare(key, tree, signal, form);
    if (compared?.problem !== undefined) await integrity.retire(record, compared.problem);
    const raised = (): void => merged[Symbol.dispose]();
    const view = await views.build(record, tree, signal, { form, raised }).catch(async (thrown: unknown) => {
      throw await measureFullDisk(thrown, world.disk, viewPlan.reference, 0);
    });
    await integrity.settle(itemsOf(viewPlan));
    return view;
  };

  const find: ViewBuilder['find'] = async (viewPlan, content, signal) => {
    const pace = startPace(signal);
    const view = await content.findView(viewPlan);
    if (view === undefined) return undefined;
    await pace();
    return (await integrity.isIntact(view, itemsOf(viewPlan, view), signal)) ? view : undefined;
  };

  return {
    find,
    admitHeld,
    fetch: missingLayers.fetch,
    share: missingLayers.share,
    merge,
    async prepare(viewPlan, content, context, signal) {
      const pace = startPace(signal);
      using _held = await world.leases.hold(viewPlan.held);
      await pace();
      let view = await find(viewPlan, content, signal);
      // Conflicts of names, and a subPath that no layer can have, are refused before any download.
      if (view === undefined) await trees.verifyNames(viewPlan.plan, viewPlan.selection, signal);
      for (let isFirst = true; view === undefined; isFirst = false) {
        const form = forms.choose(viewPlan.plan);
        const wanted = await admitHeld(viewPlan, form, content, signal);
        await missingLayers.fetch(viewPlan, wanted, form, content, context, signal);
        context.report({ ...totals(viewPlan.plan.layers), phase: 'build' });
        try {
          view = await find(viewPlan, content, signal); // it may have lacked a proof only
          view ??= await build(content.admitView(viewPlan) ?? refuse(viewPlan), form, context, signal);
        } catch (thrown) {
          if (!isFirst || toArtifactError(thrown).code !== 'corrupt') throw thrown;
          // The bytes were damaged without a change of the files. They count as unverified now, and are pulled again.
          integrity.distrust(itemsOf(viewPlan));
        }
      }
      await pace();
      await context.record(); // its callers may have left
      return context.tally.origin(viewPlan.plan.layers);
    },
  };
}

/** Concurrent merges: each tree may have as many entries as a layer may. */
const mergeShares: Shares = { total: 4, perTenant: 2 };

function refuse(viewPlan: ViewPlan): never {
  throw new ArtifactError('internal', `content of ${viewPlan.reference} was fetched, and is not admitted`);
}

/** Returns the record of a view, with its measured tree and what it does not show. */
function toViewRecord(
  { key, selection, selected, reference }: ViewPlan,
  { layers }: SettledPlan,
  measured: Pick<ViewRecord, 'bytes' | 'inodes'>,
  notes: readonly string[],
): ViewRecord {
  const { manifest, digest } = selected;
  const digests = (treated: SettledLayer['form']): readonly Digest[] =>
    layers.filter(layer => layer.form === treated).map(layer => layer.descriptor.digest);
  return {
    key,
    manifest: digest,
    reference,
    ...(manifest.artifactType === undefined ? {} : { artifactType: manifest.artifactType }),
    blobs: [...new Set(digests('file'))],
    layers: [...new Set(digests('unpacked'))],
    ...measured,
    selection,
    ...(notes.length === 0 ? {} : { notes: cut(notes) }),
  };
}

/** Notes kept in the record of a view; the log has all of them. */
const maxNotes = 16;

function cut(notes: readonly string[]): readonly string[] {
  if (notes.length <= maxNotes) return notes;
  return [...notes.slice(0, maxNotes), `and ${notes.length - maxNotes} more, in the log`];
}
