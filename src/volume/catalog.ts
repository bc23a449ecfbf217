import { isDigest, type Digest } from '../oci/digest.ts';
import { planLayers } from '../oci/plan.ts';
import type { Platform } from '../oci/platform.ts';
import { formatReference } from '../oci/reference.ts';
import { ArtifactError } from '../util/error.ts';
import type { NameRecord, Names, Pins, VolumeRecords } from './contracts/records.ts';
import type { Expander } from './contracts/registry.ts';
import type { View, Views } from './contracts/store.ts';
import type { LayerSource } from './layer-source.ts';
import { notHere } from './absence.ts';
import type { Manifests } from './manifests.ts';
import { formatVerdict, type Signatures } from './signatures.ts';
import type { ArtifactDetail, ArtifactSummary, LayerDetail } from './usecases.ts';

/** What the cache holds, in the words of people. */
export type Catalog = {
  /** The name under which the cache knows a reference or a bare digest. @throws `not-found`. */
  locate(text: string): Promise<NameRecord>;
  list(): Promise<readonly ArtifactSummary[]>;
  inspect(text: string): Promise<ArtifactDetail>;
};

export function createCatalog(world: {
  readonly expander: Expander;
  readonly names: Names;
  readonly views: Views;
  readonly volumes: VolumeRecords;
  readonly pins: Pins;
  readonly manifests: Manifests;
  readonly source: LayerSource;
  readonly signatures: Signatures;
  readonly platform: Platform;
}): Catalog {
  const { expander, names, views, volumes, pins, manifests, source, signatures, platform } = world;

  const byDigest = async (digest: Digest): Promise<NameRecord | undefined> => {
    const all = await names.list();
    const direct = all.find(name => name.descriptor.digest === digest);
    if (direct !== undefined) return direct;
    const view = (await views.list()).find(candidate => candidate.manifest === digest);
    return view === undefined ? undefined : all.find(name => holdsDigest(view, name.descriptor.digest));
  };

  const byReference = async (text: string): Promise<NameRecord | undefined> => {
    for (const reference of expander.expand(text)) {
      const name =
        (await names.find(formatReference(reference))) ??
        (reference.digest && (await byDigest(reference.digest)));
      if (name !== undefined) return name;
    }
    return undefined;
  };

  const locate = async (text: string): Promise<NameRecord> => {
    const name = await (isDigest(text) ? byDigest(text) : byReference(text));
    if (name !== undefined) return name;
    throw new ArtifactError(
      'not-found',
      `${text} is not in this node's cache; \`ls\` shows what is, \`pull\` brings it`,
    );
  };

  return {
    locate,
    async list() {
      const [known, made, records, pinned] = await Promise.all([
        names.list(),
        views.list(),
        volumes.list(),
        pins.list(),
      ]);
      const named = known.map(({ reference, descriptor }) => ({ reference, digest: descriptor.digest }));
      // A tag that moved on is another's name; what it was pinned with is held all the same.
      const nameless = pinned.filter(pin => !named.some(name => name.digest === pin.digest));
      return [...named, ...nameless]
        .map(({ reference, digest }) => {
          const own = made.filter(view => holdsDigest(view, digest));
          return {
            reference,
            digest,
            artifactType: own.find(view => view.artifactType !== undefined)?.artifactType ?? '',
            bytes: Math.max(0, ...own.map(view => view.bytes)),
            usedAt: Math.max(0, ...own.map(view => view.usedAt)),
            pinned: pinned.some(pin => pin.digest === digest),
            volumes: records.filter(record => record.digest === digest).length,
          };
        })
        .sort((a, b) => a.reference.localeCompare(b.reference));
    },
    async inspect(text) {
      const name = await locate(text);
      const { digest } = name.descriptor;
      const selected = await manifests.select(
        name.descriptor,
        platform,
        name.reference,
        notHere(name.reference),
        AbortSignal.timeout(10_000),
      );
      const plan = planLayers(
        selected.manifest,
        selected.diffIds,
        { unpack: 'auto', include: [], exclude: [] },
        name.reference,
      );
      const layers: LayerDetail[] = [];
      for (const layer of plan.layers) {
        const { descriptor, name: path, form } = layer;
        layers.push({
          digest: descriptor.digest,
          mediaType: descriptor.mediaType,
          size: descriptor.size,
          name: path,
          form: form === 'file' ? form : 'unpacked',
          held: await source.isHeld(layer),
        });
      }
      const records = await volumes.list();
      const made = (await views.list()).filter(view => view.manifest === selected.digest);
      return {
        reference: name.reference,
        digest,
        manifest: selected.digest,
        kind: plan.kind,
        mediaType: selected.manifest.mediaType,
        artifactType: selected.manifest.artifactType ?? selected.manifest.config.mediaType,
        annotations: selected.manifest.annotations,
        layers,
        pinned: (await pins.list()).some(pin => pin.digest === digest),
        verdict: formatVerdict(await signatures.judge(name.reference, digest)),
        volumes: records.filter(record => record.digest === digest).map(record => record.targetPath),
        notes: [...new Set(made.flatMap(view => view.notes ?? []))],
      };
    },
  };
}

/** Whether a view came from a manifest or index. */
export function holdsDigest(view: View, digest: Digest): boolean {
  return view.manifest === digest || view.blobs.includes(digest);
}
