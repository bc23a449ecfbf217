import { join } from 'node:path';
import type { Settings } from './cli/settings.ts';
import type { Mounts } from './mount/mounts.ts';
import { ArtifactError } from './util/error.ts';
import { createAdmittedReader } from './volume/access/admitted-content.ts';
import { createChunkLists } from './volume/on-demand/chunk-lists.ts';
import { createLateStart } from './volume/on-demand/late-start.ts';
import { openNodeLandings } from './volume/on-demand/node-landings.ts';
import { createOnDemand, type OnDemand } from './volume/on-demand/on-demand.ts';
import { createAdmission } from './volume/pull/admission.ts';
import { createBandwidth } from './volume/pull/bandwidth.ts';
import { createLayerFetcher, type LayerFetcher } from './volume/pull/layer-fetcher.ts';
import { createManifestLoader, type ManifestLoader } from './volume/pull/manifest-loader.ts';
import { createNaming, type Naming } from './volume/pull/naming.ts';
import { createPull, flightOptions, type Pull } from './volume/pull/pull.ts';
import { createResolver, type Resolver } from './volume/pull/resolver.ts';
import { createTrees, type Trees } from './volume/pull/trees.ts';
import { createViewBuilder } from './volume/pull/view-builder.ts';

/** What pulls, and what it is made of. */
export type Pulling = {
  readonly manifests: ManifestLoader;
  readonly naming: Naming;
  readonly trees: Trees;
  readonly resolver: Resolver;
  readonly source: LayerFetcher;
  readonly onDemand: OnDemand;
  readonly pull: Pull;
};

type First<F extends (...parameters: never[]) => unknown> = Parameters<F>[0];
type World = First<typeof createResolver> &
  Omit<First<typeof createAdmission>, 'resolver'> &
  Omit<First<typeof createManifestLoader>, 'reader' | 'bandwidth'> &
  First<typeof createNaming> &
  Omit<First<typeof createLayerFetcher>, 'reader' | 'bandwidth'> &
  Omit<First<typeof createViewBuilder>, 'source' | 'trees' | 'nodeId'> &
  Omit<First<typeof createLateStart>, 'viewBuilder' | 'trees' | 'source' | 'images' | 'lists'> &
  Pick<First<typeof createOnDemand>, 'volumes' | 'warn' | 'reportLie' | 'reportFailedRead'> &
  Omit<First<typeof createPull>, 'admit' | 'manifests' | 'viewBuilder' | 'naming' | 'onDemand'> & {
    readonly images: First<typeof createLateStart>['images'] & First<typeof createOnDemand>['images'];
    readonly layers: First<typeof createTrees>;
    readonly blobs: First<typeof createAdmittedReader>;
    readonly tryLandings: Mounts['tryLandings'];
    readonly resumeLandings: Mounts['resumeLandings'];
  };

type Options = Pick<
  Settings,
  'nodeId' | 'stateDir' | 'maxLayerEntries' | 'maxParallelDownloads' | 'prefetchRate' | 'durablePublish'
> &
  Pick<Settings, 'onDemand' | 'onDemandPatience' | 'chunkLists'>;

/**
 * Creates what pulls over the adapters of a node.
 *
 * @param imagesOff why no view is an image; undefined if views can be.
 * @param stack ends what is opened for volumes that are loaded on demand.
 */
export function openPulling(
  world: World,
  settings: Options,
  imagesOff: string | undefined,
  stack: AsyncDisposableStack,
): Pulling {
  const { stateDir, maxParallelDownloads } = settings;
  const reader = createAdmittedReader(world.blobs);
  const bandwidth = settings.prefetchRate ? createBandwidth(settings.prefetchRate, 'prefetch') : undefined;
  const manifests = createManifestLoader({ ...world, reader, bandwidth });
  const naming = createNaming(world);
  const trees = createTrees(world.layers, settings.maxLayerEntries);
  const resolver = createResolver(world);
  const source = createLayerFetcher({ ...world, reader, bandwidth }, maxParallelDownloads);
  const viewBuilder = createViewBuilder({ ...world, source, trees, nodeId: settings.nodeId });
  const lists = createChunkLists(settings.chunkLists, world.warn);
  const starts = createLateStart({ ...world, viewBuilder, trees, source, lists });
  const never = settings.onDemand === 'on' ? imagesOff : '--on-demand is off';
  const landings = openNodeLandings(
    never,
    async () => {
      const support = await world.tryLandings(join(stateDir, 'tmp'), longestReadSeconds);
      if (support.kind === 'on') return support.landings;
      throw new ArtifactError('unavailable', support.reason);
    },
    async prepare => {
      const support = await world.resumeLandings(join(stateDir, 'tmp'), prepare);
      if (support?.kind === 'off')
        world.warn(`reads that wait since an earlier daemon fail, and can be repeated: ${support.reason}`);
      return support?.kind === 'on' ? support.landings : undefined;
    },
  );
  stack.use(landings);
  const onDemand = createOnDemand(
    {
      ...world,
      starts,
      source,
      viewBuilder,
      lists,
      landings,
      pull: async (request, signal) => (await pull.pull(request, () => {}, signal))[Symbol.dispose](),
      patienceMs: settings.onDemandPatience,
    },
    flightOptions(world.kubelet),
  );
  const admit = createAdmission({ ...world, resolver });
  const parts = { admit, manifests, viewBuilder, naming, onDemand };
  const pull = createPull({ ...world, ...parts }, settings.durablePublish);
  return { manifests, naming, trees, resolver, source, onDemand, pull };
}

/** Seconds after which the kernel gives up landings that do not answer: a read waits while anything comes. */
const longestReadSeconds = 18 * 60 * 60;
