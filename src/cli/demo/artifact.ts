import { chunksAnnotation } from '../../oci/chunk-list.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { ociManifest } from '../../oci/manifest.ts';
import { chunkListType } from '../../oci/plan.ts';
import { openChunkListing } from './chunk-listing.ts';
import type { DemoRegistry, GeneratedBlob } from './registry.ts';

/** A layer to push. `name` becomes the title annotation, as `oras push` writes it. */
export type DemoLayer = {
  readonly name?: string;
  readonly bytes: Uint8Array;
  readonly mediaType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
};

type GeneratedSource = Omit<DemoLayer, 'bytes'> & { readonly bytes: GeneratedBlob };
type Source = DemoLayer | GeneratedSource;

/** A pushed artifact: the manifest's digest and descriptor, and those of its layers in order. */
export type PushedArtifact = {
  readonly digest: Digest;
  readonly manifest: Descriptor;
  readonly layers: readonly Descriptor[];
};

const emptyConfig = 'application/vnd.oci.empty.v1+json';

/**
 * Pushes an artifact to a registry of this process, as `oras push` would (OCI image spec, manifest.md, "Guidelines for
 * Artifact Usage"). A generated blob has a chunk list, as `chunks` writes it.
 */
export async function pushArtifact(
  registry: DemoRegistry,
  repository: string,
  tag: string,
  sources: readonly Source[],
  artifactType = 'application/vnd.example.artifact',
): Promise<PushedArtifact> {
  const config = await push(registry, repository, { bytes: Buffer.from('{}'), mediaType: emptyConfig });
  const layers: Descriptor[] = [];
  for (const { bytes, ...source } of sources)
    layers.push(
      ...(bytes instanceof Uint8Array
        ? [await push(registry, repository, { ...source, bytes })]
        : await pushListed(registry, repository, { ...source, bytes })),
    );
  const bytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: ociManifest, artifactType, config, layers }),
  );
  const digest = await registry.putManifest(repository, tag, ociManifest, bytes);
  return {
    digest,
    manifest: { mediaType: ociManifest, digest, size: bytes.length, annotations: {} },
    layers,
  };
}

/** Pushes a blob with its chunk list. */
async function pushListed(
  registry: DemoRegistry,
  repository: string,
  source: GeneratedSource,
): Promise<readonly Descriptor[]> {
  const listing = openChunkListing(source.bytes);
  const layer = await push(registry, repository, { ...source, bytes: listing.blob });
  const bytes = listing.list(layer.digest);
  const list = await push(registry, repository, { bytes, mediaType: chunkListType });
  const annotations = { ...layer.annotations, [chunksAnnotation]: list.digest };
  return [{ ...layer, annotations }, list];
}

async function push(registry: DemoRegistry, repository: string, source: Source): Promise<Descriptor> {
  return {
    mediaType: source.mediaType ?? 'application/octet-stream',
    digest: await registry.putBlob(repository, source.bytes),
    size: source.bytes instanceof Uint8Array ? source.bytes.length : source.bytes.size,
    annotations: {
      ...(source.name === undefined ? {} : { 'org.opencontainers.image.title': source.name }),
      ...source.annotations,
    },
  };
}
