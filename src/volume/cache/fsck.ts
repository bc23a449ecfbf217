import type { Digest } from '../../oci/digest.ts';
import { planLayers } from '../../oci/plan.ts';
import type { Platform } from '../../oci/platform.ts';
import type { LateViews } from '../../ports/late-views.ts';
import type { Names, Pins, VolumeRecords } from '../../ports/records.ts';
import type { Blobs, Item, Layers, Look, View, Views } from '../../ports/store.ts';
import type { Finding, Progress } from '../../ports/usecases.ts';
import type { LayerForm } from '../../tree/toc.ts';
import { toArtifactError } from '../../util/error.ts';
import { doInSlices, startPace } from '../../util/pace.ts';
import { cachedDocuments } from '../pull/cached-documents.ts';
import type { ManifestLoader } from '../pull/manifest-loader.ts';
import type { Trees } from '../pull/trees.ts';
import { createAffected, findOwners } from './affected.ts';
import type { Integrity } from './integrity.ts';
import { listItems } from './items.ts';
import type { Retirement } from './retirement.ts';
import { findBrokenRoots } from './root-check.ts';
import { formatShown } from './shown.ts';

/** The form of the layers that a view shows. */
const formOf = ({ image }: View): LayerForm => (image === undefined ? 'bodies' : 'tar');

/**
 * Verifies every blob and unpacked layer, compares the views with what they must be, and reports damage. With `repair`,
 * damaged content is taken out of use, so that the next publish pulls or builds it again. Content that a mounted volume
 * shows stays for that volume only, because its pod uses the files. Without `repair`, the next publish does the same.
 */
export async function checkCache(
  world: {
    readonly blobs: Blobs;
    readonly layers: Layers;
    readonly views: Views;
    readonly lateViews: Pick<LateViews, 'check'>;
    readonly volumes: Pick<VolumeRecords, 'list'>;
    readonly pins: Pick<Pins, 'list'>;
    readonly names: Pick<Names, 'list'>;
    readonly integrity: Integrity;
    readonly retirement: Retirement;
    readonly trees: Trees;
    readonly manifests: ManifestLoader;
    readonly platform: Platform;
    readonly hashFile: Look;
  },
  repair: boolean,
  onFinding: (finding: Finding) => void | Promise<void>,
  onProgress: (progress: Pick<Progress, 'bytes' | 'totalBytes'>) => void,
  signal: AbortSignal,
): Promise<{ readonly checked: number }> {
  const { blobs, layers, views, integrity, retirement } = world;

  const affected = createAffected(world);
  const report = async (
    found: Pick<Finding, 'path' | 'problem' | 'repaired'> & {
      readonly digest: Digest;
      readonly shownBy?: readonly string[];
    },
  ): Promise<void> => {
    const { path, repaired, digest, shownBy = [] } = found;
    const problem = `${found.problem}${formatShown(shownBy)}`;
    await onFinding({ path, problem, artifacts: await affected(digest), keptBy: [], repaired });
  };

  /** A damaged view that is out of use: no artifact needs it. */
  const reportKept = async (view: View, problem: string): Promise<void> => {
    const keptBy = await findOwners(await retirement.whoShows([view]), world.volumes);
    if (keptBy.length > 0)
      await onFinding({ path: view.path, problem, artifacts: [], keptBy, repaired: false });
  };

  /** Whether the item is undamaged. */
  const checkItem = async (item: Item): Promise<boolean> => {
    const { digest } = item;
    const path = world[item.kind].path(digest);
    try {
      const found = await integrity.inspect(item, world.hashFile, repair, signal);
      if (found !== undefined) await report({ path, digest, ...found, repaired: repair });
      return found === undefined;
    } catch (thrown) {
      signal.throwIfAborted();
      await report({ path, digest, problem: toArtifactError(thrown).message, repaired: false });
      return false;
    }
  };

  /** Whether the documents that define the view are in the cache. */
  const isKnown = async (view: View): Promise<boolean> => {
    for (const digest of view.layers) if (!(await layers.has(digest, formOf(view)))) return false;
    return (await blobs.size(view.manifest)) !== undefined;
  };

  const describeView = async (view: View): Promise<string | undefined> => {
    const { manifest: digest, selection, reference } = view;
    // Its record was restored from that of a volume; or the next publish pulls the rest, and compares.
    if (selection === undefined || !(await isKnown(view)))
      return views.checkImage(view.key, world.hashFile, signal);
    const { manifest, diffIds } = await world.manifests.select(
      { digest, size: (await blobs.size(digest)) ?? 0, mediaType: '', annotations: {} },
      world.platform,
      reference,
      cachedDocuments(reference),
      signal,
    );
    const plan = await doInSlices(planLayers(manifest, diffIds, selection, reference), signal);
    const settled = await world.trees.settle(plan, signal);
    const stored = formOf(view);
    const tree = await world.trees.merge({ ...settled, stored }, selection, () => {}, signal);
    return (await views.compare(view.key, tree, signal, stored))?.problem;
  };

  const checkView = async (view: View): Promise<void> => {
    const { path, manifest: digest, damage } = view;
    if (damage !== undefined) return reportKept(view, damage);
    try {
      // The image of a late view changes, and what it shows are blobs.
      const problem = await (view.late === true
        ? world.lateViews.check(view.key, signal)
        : describeView(view));
      if (problem === undefined) return;
      if (!repair) views.distrust(view.key);
      const shownBy = repair ? await integrity.retire(view, problem) : await retirement.whoShows([view]);
      await report({ path, digest, problem, shownBy, repaired: repair });
    } catch (thrown) {
      signal.throwIfAborted();
      const { code, message } = toArtifactError(thrown);
      if (code !== 'not-found') await report({ path, digest, problem: message, repaired: false });
    }
  };

  // Before anything is quarantined, which is reported separately.
  for (const { name, reference, problem } of await findBrokenRoots(world, signal))
    await onFinding({ path: name, problem, artifacts: [reference], keptBy: [], repaired: false });
  const items = await listItems(world);
  const totalBytes = items.reduce((sum, { bytes }) => sum + bytes, 0);
  const wrong = new Set<Digest>();
  const pace = startPace(signal); // small items alone would never yield
  let checked = 0;
  for (const item of items) {
    await pace();
    signal.throwIfAborted();
    onProgress({ bytes: checked, totalBytes });
    if (!(await checkItem(item))) wrong.add(item.digest);
    checked += item.bytes;
  }
  onProgress({ bytes: checked, totalBytes });
  if (repair) await retirement.tidy();
  const trees = await views.list();
  for (const view of trees) {
    await pace();
    // If the definition of a view is damaged, the view cannot be compared.
    const isUnknown = [view.manifest, ...view.layers].some(digest => wrong.has(digest));
    if (view.damage === undefined && isUnknown) continue;
    await checkView(view);
  }
  return { checked: items.length + trees.length };
}
