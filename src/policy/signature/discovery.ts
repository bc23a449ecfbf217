import type { Descriptor } from '../../oci/descriptor.ts';
import { algorithmOf, type Digest, hexOf } from '../../oci/digest.ts';
import { type Index, type Manifest, maxManifestBytes, parseManifest } from '../../oci/manifest.ts';
import type { SignatureSource } from '../../ports/trust.ts';
import { ArtifactError } from '../../util/error.ts';
import { doInSlices } from '../../util/pace.ts';
import { formatSize } from '../../util/size.ts';
import { bundleType, predicateAnnotation, signPredicate } from './verify/bundle.ts';
import { simpleSigning } from './verify/simple-signing.ts';

/** A possible signature. `label` names it in messages. */
export type SignatureCandidate = { readonly label: string } & (
  | {
      readonly kind: 'simple';
      readonly payload: Uint8Array;
      readonly annotations: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'bundle'; readonly bytes: Uint8Array }
  | { readonly kind: 'unreadable'; readonly why: string }
);

/** A tag has at most 128 characters (OCI distribution spec, "Pulling manifests"): cosign stores none for a sha512. */
const longestTag = 128;

/** The maximum number of signatures of one artifact, of all kinds. */
export const maxCandidates = 64;

/** The maximum bytes. Signed content has some KiB, with all its material; more would be parsed in one step. */
const maxSignedBytes = 256 * 1024;

/** Yields the signatures that cosign stored under a tag of the repository (cosign, SIGNATURE_SPEC.md). */
export async function* readSimpleSignatures(
  source: SignatureSource,
  digest: Digest,
  signal: AbortSignal,
): AsyncGenerator<SignatureCandidate> {
  const name = `${digest.replace(':', '-')}.sig`;
  if (name.length > longestTag) return;
  const tagged = await source.tag(name, signal);
  if (tagged === undefined) return;
  const label = `the signature in tag ${name}`;
  const manifest = await toManifest(tagged.bytes, tagged.descriptor, label, signal);
  if (typeof manifest === 'string') return yield { kind: 'unreadable', label, why: manifest };
  for (const layer of manifest.layers.filter(layer => layer.mediaType === simpleSigning)) {
    const payload = await read(layer, maxSignedBytes, descriptor => source.blob(descriptor, signal));
    const { annotations } = layer;
    yield typeof payload === 'string'
      ? { kind: 'unreadable', label, why: payload }
      : { kind: 'simple', label, payload, annotations };
  }
}

/**
 * Returns the descriptors of bundle manifests that refer to a digest; those that declare an attestation are omitted.
 */
export async function listBundles(
  source: SignatureSource,
  digest: Digest,
  signal: AbortSignal,
): Promise<readonly Descriptor[]> {
  const referrers =
    (await source.referrers(digest, bundleType, signal)) ?? (await readFallback(source, digest, signal));
  return referrers.filter(
    ({ artifactType, annotations }) =>
      artifactType === bundleType && (annotations[predicateAnnotation] ?? signPredicate) === signPredicate,
  );
}

/** Reads the bundle of such a manifest. */
export async function readBundle(
  source: SignatureSource,
  descriptor: Descriptor,
  signal: AbortSignal,
): Promise<SignatureCandidate> {
  const label = `the bundle ${descriptor.digest}`;
  const bytes = await read(descriptor, maxManifestBytes, descriptor => source.manifest(descriptor, signal));
  const manifest = typeof bytes === 'string' ? bytes : await toManifest(bytes, descriptor, label, signal);
  if (typeof manifest === 'string') return { kind: 'unreadable', label, why: manifest };
  const layer = manifest.layers.find(layer => layer.mediaType === bundleType);
  if (layer === undefined) return { kind: 'unreadable', label, why: `it has no layer of ${bundleType}` };
  const bundle = await read(layer, maxSignedBytes, descriptor => source.blob(descriptor, signal));
  return typeof bundle === 'string'
    ? { kind: 'unreadable', label, why: bundle }
    : { kind: 'bundle', label, bytes: bundle };
}

/** Returns the tag that stands for the list if a registry has none (OCI distribution spec, "Referrers Tag Schema"). */
async function readFallback(
  source: SignatureSource,
  digest: Digest,
  signal: AbortSignal,
): Promise<readonly Descriptor[]> {
  const tagged = await source.tag(`${algorithmOf(digest)}-${hexOf(digest).slice(0, 64)}`, signal);
  if (tagged === undefined) return [];
  const index = await toDocument(tagged.bytes, tagged.descriptor, 'the list of referrers', signal);
  return typeof index !== 'string' && index.kind === 'index' ? index.manifests : [];
}

/** Returns bytes within limits, or why there are none. Missing content is a result; an outage is an error. */
async function read(
  descriptor: Descriptor,
  limit: number,
  get: (descriptor: Descriptor) => Promise<Uint8Array>,
): Promise<Uint8Array | string> {
  if (descriptor.size > limit) return `it has ${descriptor.size} bytes; ${formatSize(limit)} are read`;
  try {
    return await get(descriptor);
  } catch (thrown) {
    if (thrown instanceof ArtifactError && thrown.code === 'not-found') return thrown.message;
    throw thrown;
  }
}

async function toManifest(
  bytes: Uint8Array,
  descriptor: Descriptor,
  label: string,
  signal: AbortSignal,
): Promise<Manifest | string> {
  const manifest = await toDocument(bytes, descriptor, label, signal);
  return typeof manifest === 'string' || manifest.kind === 'manifest' ? manifest : 'it is an index';
}

/** An unusable manifest is not a signature; its error is the reason. */
async function toDocument(
  bytes: Uint8Array,
  { mediaType }: Descriptor,
  label: string,
  signal: AbortSignal,
): Promise<Manifest | Index | string> {
  try {
    return await doInSlices(parseManifest(bytes, mediaType, label), signal);
  } catch (thrown) {
    if (thrown instanceof ArtifactError && thrown.code === 'unmountable') return thrown.message;
    throw thrown;
  }
}
