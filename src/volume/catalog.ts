import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, isDigest } from '../oci/digest.ts';
import { placeholderOf, planLayers } from '../oci/plan.ts';
import type { Platform } from '../oci/platform.ts';
import { formatReference } from '../oci/reference.ts';
import type { NameRecord, Names, Pins, VolumeRecords } from '../ports/records.ts';
import type { Expander } from '../ports/registry.ts';
import type { Evidence, Views } from '../ports/store.ts';
import type { ArtifactDetail, ArtifactSummary, LayerDetail } from '../ports/usecases.ts';
import { never } from '../util/abortable.ts';
import { ArtifactError, toArtifactError } from '../util/error.ts';
import { doInSlices, startPace } from '../util/pace.ts';
import { formatVerdict, type SignatureCheck } from './access/signature-check.ts';
import { createStartSearch, type StartSearch } from './digest-starts.ts';
import { cachedDocuments } from './pull/cached-documents.ts';
import type { LayerFetcher } from './pull/layer-fetcher.ts';
import type { ManifestLoader } from './pull/manifest-loader.ts';
import { isBesideTag, isOfRepository } from './repository-names.ts';

/** Lookups in the cache by reference and digest. */
export type Catalog = {
  /** Searches by a text, or by the cached digest that it is the start of. */
  readonly search: StartSearch;
  /**
   * Finds the only name of a reference, a digest or a digest prefix. Where a digest has a tag and the name
   * `repository@digest` in one repository, the tag is the name, and `beside` the other.
   *
   * @throws `not-found`; `invalid` for a digest that has several names all the same.
   */
  locateOnly(text: string): Promise<Located & { readonly beside: readonly string[] }>;
  /** Whether the manifest for this platform is in the cache. */
  has(descriptor: Descriptor, reference: string): Promise<boolean>;
  /** Each reference with the digest that it resolves to, and with those of its pins and volumes. */
  list(): Promise<readonly ArtifactSummary[]>;
  inspect(text: string): Promise<ArtifactDetail>;
};

/** `asked`: the full reference that was given, which may have the digest of the name instead of its tag. */
export type Located = NameRecord & { readonly asked: string };

export function createCatalog(world: {
  readonly expander: Expander;
  readonly names: Names;
  readonly views: Views;
  readonly volumes: VolumeRecords;
  readonly pins: Pins;
  readonly manifests: ManifestLoader;
  readonly source: LayerFetcher;
  readonly signatures: SignatureCheck;
  readonly evidence: Pick<Evidence, 'verifiedAt'>;
  readonly platform: Platform;
}): Catalog {
  const { expander, names, views, volumes, pins, manifests, source, signatures, evidence, platform } = world;
  const search = createStartSearch(world);

  /** The names of a digest; if there are none, those of an index that lists it. */
  const namesOf = async (digest: Digest): Promise<readonly NameRecord[]> => {
    const all = await names.list();
    const direct = all.filter(name => name.descriptor.digest === digest);
    if (direct.length > 0) return direct;
    const isManifest = (await views.list()).some(view => view.manifest === digest);
    return isManifest ? all.filter(name => name.holds.includes(digest)) : [];
  };

  /**
   * One name: of the candidates of a short name, the first that is cached. A digest is also found by another name of
   * its repository.
   */
  const byReference = async (text: string): Promise<readonly Located[]> => {
    for (const reference of expander.expand(text)) {
      const asked = formatReference(reference);
      const isOfIt = (name: NameRecord): boolean => isOfRepository(name.reference, reference);
      const name =
        (await names.find(asked)) ?? (reference.digest && (await namesOf(reference.digest)).find(isOfIt));
      if (name !== undefined) return [{ ...name, asked }];
    }
    return [];
  };

  const locateAll = async (given: string): Promise<readonly [Located, ...Located[]]> => {
    const [first, ...others] = await search(given, async text =>
      isDigest(text)
        ? (await namesOf(text)).map(name => ({ ...name, asked: name.reference }))
        : byReference(text),
    );
    if (first !== undefined) return [first, ...others];
    const absence = `${given} is not in this node's cache; \`ls\` lists what is, \`pull\` adds it`;
    throw new ArtifactError('not-found', absence);
  };

  const locateOnly: Catalog['locateOnly'] = async text => {
    const all = await locateAll(text);
    const [only, ...others] = all.filter(name => !isBesideTag(name.reference, all));
    if (only !== undefined && others.length === 0) {
      const beside = all.filter(name => name !== only).map(({ reference }) => reference);
      return { ...only, beside };
    }
    const named = [only, ...others].flatMap(name => name?.reference ?? []).toSorted();
    throw new ArtifactError(
      'invalid',
      `${text} has ${named.length} names here: ${named.join(', ')}; write the one that is meant`,
    );
  };

  const select = (descriptor: Descriptor, reference: string) =>
    manifests.select(
      descriptor,
      platform,
      reference,
      cachedDocuments(reference),
      AbortSignal.timeout(10_000),
    );

  /** A digest is a blob, or an unpacked layer. */
  const verifiedAt = (digest: Digest): number =>
    evidence.verifiedAt({ kind: 'blobs', digest }) || evidence.verifiedAt({ kind: 'layers', digest });

  return {
    search,
    locateOnly,
    async has(descriptor, reference) {
      try {
        await select(descriptor, reference);
        return true;
      } catch (thrown) {
        if (toArtifactError(thrown).code === 'not-found') return false;
        throw thrown;
      }
    },
    async list() {
      const [known, made, records, pinned] = await Promise.all([
        names.list(),
        views.list(),
        volumes.listBrief(),
        pins.list(),
      ]);
      const used = records.map(record => ({ ...record, reference: record.resolved }));
      // A tag may resolve to another digest by now; what its pins and volumes use is still cached.
      const rows = new Map(
        [
          ...used.map(volume => ({ ...volume, holds: undefined, usedAt: volume.publishedAt })),
          ...pinned.map(pin => ({ ...pin, usedAt: pin.pinnedAt })),
          ...known.map(name => ({ ...name, digest: name.descriptor.digest })),
        ].map(row => [rowKey(row), row]),
      );
      const isPinned = new Set(pinned.map(rowKey));
      const viewsOf = Map.groupBy(made, view => view.manifest);
      const volumesOf = Map.groupBy(used, rowKey);
      const found: ArtifactSummary[] = [];
      const pace = startPace(never);
      for (const [key, row] of rows) {
        const { reference, digest, usedAt } = row;
        const holds = row.holds ?? (await volumes.find(row.targetPath))?.holds ?? [];
        // Records of an older version list nothing until a daemon has started.
        const listed = holds.length === 0 ? [digest] : holds;
        const own = listed.flatMap(held => viewsOf.get(held) ?? []);
        found.push({
          reference,
          digest,
          artifactType: own.find(view => view.artifactType !== undefined)?.artifactType ?? '',
          bytes: own.reduce((most, view) => Math.max(most, view.bytes), 0),
          usedAt,
          verifiedAt: listed.reduce((least, held) => Math.min(least, verifiedAt(held)), Infinity),
          pinned: isPinned.has(key),
          volumes: volumesOf.get(key)?.length ?? 0,
        });
        const rest = pace();
        if (rest !== undefined) await rest;
      }
      return found.sort((a, b) => (a.reference < b.reference ? -1 : 1));
    },
    async inspect(text) {
      const [name] = await locateAll(text);
      const { digest } = name.descriptor;
      const selected = await select(name.descriptor, name.reference);
      const planning = planLayers(
        selected.manifest,
        selected.diffIds,
        { unpack: 'auto', include: [], exclude: [] },
        name.reference,
      );
      const plan = await doInSlices(planning, never);
      const layers: LayerDetail[] = [];
      const pace = startPace(never);
      const planned = new Map(plan.layers.map(layer => [layer.descriptor, layer]));
      for (const descriptor of selected.manifest.layers) {
        const { digest: of, mediaType, size } = descriptor;
        const layer = planned.get(descriptor);
        const form = layer?.form ?? placeholderOf(descriptor) ?? 'file';
        layers.push({
          digest: of,
          mediaType,
          size,
          name: layer?.name ?? '',
          form: form === 'detected' ? 'unpacked' : form,
          held: layer !== undefined && (await source.isHeld(layer, 'tar')),
        });
        const rest = pace();
        if (rest !== undefined) await rest;
      }
      const isIt = (row: Row): boolean => rowKey(row) === rowKey({ reference: name.reference, digest });
      const records = (await volumes.listBrief()).filter(({ resolved: reference, digest: shown }) =>
        isIt({ reference, digest: shown }),
      );
      const made = (await views.list()).filter(view => view.manifest === selected.digest);
      const others = (await namesOf(digest)).map(({ reference }) => reference).toSorted();
      return {
        reference: name.asked,
        otherNames: others.filter(other => other !== name.asked),
        digest,
        manifest: selected.digest,
        kind: plan.kind,
        mediaType: selected.manifest.mediaType,
        artifactType: selected.manifest.artifactType ?? selected.manifest.config.mediaType,
        annotations: selected.manifest.annotations,
        layers,
        pinned: (await pins.list()).some(isIt),
        verdict: formatVerdict(await signatures.evaluate(name.asked, digest)),
        volumes: records.map(record => record.targetPath),
        notes: [...new Set(made.flatMap(view => view.notes ?? []))],
        viewDigests: [...new Set(made.flatMap(view => view.imageDigest ?? []))].toSorted(),
      };
    },
  };
}

type Row = { readonly reference: string; readonly digest: Digest };

/** A row of `ls` is a reference with one digest. Each name, pin and volume belongs to one row. */
function rowKey({ reference, digest }: Row): string {
  return `${reference} ${digest}`;
}
