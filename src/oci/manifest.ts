import { hash } from 'node:crypto';
import { ArtifactError, toArtifactError } from '../util/error.ts';
import { isObject, parseJsonInSteps } from '../util/json.ts';
import type { Descriptor } from './descriptor.ts';
import { algorithmOf, type Digest, hexOf, isDigest } from './digest.ts';
import type { Platform } from './platform.ts';

/** A manifest: one artifact for one platform (OCI image spec, manifest.md). */
export type Manifest = {
  readonly kind: 'manifest';
  readonly mediaType: string;
  readonly artifactType?: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
};

/** An index: one artifact for several platforms (OCI image spec, image-index.md). */
export type Index = {
  readonly kind: 'index';
  readonly mediaType: string;
  readonly artifactType?: string;
  readonly manifests: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
};

export const ociIndex = 'application/vnd.oci.image.index.v1+json';
export const ociManifest = 'application/vnd.oci.image.manifest.v1+json';
export const dockerList = 'application/vnd.docker.distribution.manifest.list.v2+json';
export const dockerManifest = 'application/vnd.docker.distribution.manifest.v2+json';
/** Docker's first schema, which signs itself and has no content-addressed config. */
const dockerSchema1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\b/;

/** Every supported manifest type, in the order of preference. */
export const manifestMediaTypes: readonly string[] = [ociIndex, ociManifest, dockerList, dockerManifest];

function isIndex(mediaType: string): boolean {
  return mediaType === ociIndex || mediaType === dockerList;
}

function isManifest(mediaType: string): boolean {
  return mediaType === ociManifest || mediaType === dockerManifest;
}

/** A config without a type counts as an image's, as in other runtimes. */
export function isImageConfig(mediaType: string): boolean {
  return (
    mediaType === '' ||
    mediaType === 'application/vnd.oci.image.config.v1+json' ||
    mediaType === 'application/vnd.docker.container.image.v1+json'
  );
}

/** The maximum bytes of a manifest. Registries should accept as much (OCI distribution spec, "Pushing Manifests"). */
export const maxManifestBytes: number = 4 * 1024 * 1024;

/**
 * Parses the document in verified bytes. `mediaType` is that of the descriptor or the registry; the document's own
 * field must agree with it if both exist, and a document cannot be index and manifest at once. It yields after each
 * small step.
 *
 * @throws ArtifactError `unmountable` naming the field that is wrong.
 */
export function* parseManifest(
  bytes: Uint8Array,
  mediaType: string,
  label: string,
): Generator<void, Manifest | Index> {
  const refuse = (why: string): never => {
    throw new ArtifactError('unmountable', `the manifest of ${label} cannot be used: ${why}`);
  };
  if (dockerSchema1.test(mediaType)) {
    refuse('it is a Docker schema 1 manifest; push it again with a current tool');
  }
  const json = yield* parseJson(bytes, refuse);
  const document = isObject(json) ? json : refuse('it is not a JSON object');
  const own = typeText(document.mediaType, 'mediaType', refuse) || undefined;
  if (own !== undefined && own !== mediaType && (isIndex(mediaType) || isManifest(mediaType))) {
    refuse(`it was served as ${mediaType} and calls itself ${own}`);
  }
  if (document.schemaVersion !== 2) refuse(`schemaVersion is ${quote(document.schemaVersion)}, not 2`);
  const isList = isThere(document.manifests);
  if (isList && (isThere(document.layers) || isThere(document.config))) {
    refuse('it has both "manifests" and "layers"; only one of an index and a manifest');
  }
  const kind = isList ? ociIndex : ociManifest;
  const type = own ?? (isIndex(mediaType) || isManifest(mediaType) ? mediaType : kind);
  const artifactType = typeText(document.artifactType, 'artifactType', refuse);
  const common = {
    mediaType: type,
    annotations: parseAnnotations(document.annotations, 'annotations', refuse),
    ...(artifactType === undefined || artifactType === '' ? {} : { artifactType }),
  };
  if (isIndex(type)) {
    return { kind: 'index', ...common, manifests: yield* parseList(document.manifests, 'manifests', refuse) };
  }
  if (!isManifest(type)) refuse(`its media type ${quote(type)} is none that this driver knows`);
  return {
    kind: 'manifest',
    ...common,
    config: parseDescriptor(document.config, 'config', refuse),
    layers: yield* parseList(document.layers, 'layers', refuse),
  };
}

/**
 * Returns the `rootfs.diff_ids` of an image config (OCI image spec, config.md), or undefined for a config without them:
 * some tools use the type of an image's config for anything. It yields after each small step.
 */
export function* parseDiffIds(bytes: Uint8Array): Generator<void, readonly string[] | undefined> {
  let config: unknown;
  try {
    config = yield* parseJsonInSteps(bytes, { maxBytes: maxManifestBytes });
  } catch {
    return undefined;
  }
  const rootfs = isObject(config) ? config.rootfs : undefined;
  if (!isObject(rootfs) || !Array.isArray(rootfs.diff_ids)) return undefined;
  return rootfs.diff_ids.every(id => typeof id === 'string') ? rootfs.diff_ids : undefined;
}

/** Whether the type of a manifest depends on the config's diff_ids (oci/plan.ts). */
export function needsConfig(manifest: Manifest): boolean {
  return isImageConfig(manifest.config.mediaType);
}

/** The title of a layer, which ORAS sets for each (OCI image spec, annotations.md). */
export function titleOf({ annotations }: Descriptor): string | undefined {
  return annotations['org.opencontainers.image.title'] || undefined;
}

/** The longest media type: two names of 127 characters with a slash between them (RFC 6838, section 4.2). */
export const maxTypeLength = 255;

/** The maximum of one object. Of all content of a manifest, very many keys take longest, at every publish. */
const maxAnnotations = 1_000;
/** The maximum characters of the annotations of one object, as in Kubernetes. `inspect` shows those of a manifest. */
const maxAnnotationLength = 256 * 1024;

type Refuse = (why: string) => never;

function* parseJson(bytes: Uint8Array, refuse: Refuse): Generator<void, unknown> {
  try {
    return yield* parseJsonInSteps(bytes, { maxBytes: maxManifestBytes });
  } catch (thrown) {
    return refuse(toArtifactError(thrown).message);
  }
}

function* parseList(value: unknown, field: string, refuse: Refuse): Generator<void, readonly Descriptor[]> {
  if (!isThere(value)) return [];
  if (!Array.isArray(value)) return refuse(`"${field}" is not a list`);
  const list: Descriptor[] = [];
  for (const [index, entry] of value.entries()) {
    list.push(parseDescriptor(entry, `${field}[${index}]`, refuse));
    yield;
  }
  return list;
}

function parseDescriptor(value: unknown, field: string, refuse: Refuse): Descriptor {
  if (!isObject(value)) return refuse(`"${field}" is not a descriptor`);
  const { digest, size } = value;
  if (typeof digest !== 'string' || !isDigest(digest)) {
    return refuse(`"${field}.digest" is ${quote(digest)}, not a sha256 or sha512 digest`);
  }
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    return refuse(`"${field}.size" is ${quote(size)}, not a number of bytes`);
  }
  const artifactType = typeText(value.artifactType, `${field}.artifactType`, refuse);
  const platform = parsePlatformField(value.platform, `${field}.platform`, refuse);
  const data = parseData(optionalText(value.data, `${field}.data`, refuse), { digest, size });
  return {
    mediaType: typeText(value.mediaType, `${field}.mediaType`, refuse) ?? '',
    digest,
    size,
    annotations: parseAnnotations(value.annotations, `${field}.annotations`, refuse),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(platform === undefined ? {} : { platform }),
    ...(data === undefined ? {} : { data }),
  };
}

function parsePlatformField(value: unknown, field: string, refuse: Refuse): Platform | undefined {
  if (!isThere(value)) return undefined;
  if (!isObject(value)) return refuse(`"${field}" is not an object`);
  const os = typeText(value.os, `${field}.os`, refuse) ?? '';
  const architecture = typeText(value.architecture, `${field}.architecture`, refuse) ?? '';
  const variant = typeText(value.variant, `${field}.variant`, refuse);
  if (os === '' && architecture === '') return undefined;
  return { os, architecture, ...(variant === undefined || variant === '' ? {} : { variant }) };
}

function parseAnnotations(value: unknown, field: string, refuse: Refuse): Readonly<Record<string, string>> {
  if (!isThere(value)) return {};
  if (!isObject(value)) return refuse(`"${field}" is not an object`);
  if (Object.keys(value).length > maxAnnotations)
    return refuse(`"${field}" has more than ${maxAnnotations} annotations`);
  const annotations: Record<string, string> = Object.create(null);
  let length = 0;
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') return refuse(`"${field}" has a value for ${quote(key)} that is not text`);
    length += key.length + text.length;
    annotations[key] = text;
  }
  if (length > maxAnnotationLength)
    return refuse(`"${field}" has ${length} characters; ${maxAnnotationLength} are the most`);
  return annotations;
}

function optionalText(value: unknown, field: string, refuse: Refuse): string | undefined {
  if (!isThere(value)) return undefined;
  return typeof value === 'string' ? value : refuse(`"${field}" is not text`);
}

/** A media type or a part of a platform: text that records keep and lists show for each artifact. */
function typeText(value: unknown, field: string, refuse: Refuse): string | undefined {
  const text = optionalText(value, field, refuse);
  return text !== undefined && text.length > maxTypeLength
    ? refuse(`"${field}" has ${text.length} characters; ${maxTypeLength} are the most`)
    : text;
}

/** Go writes nil as null, and some tools omit it. */
function isThere(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** Formats a value for an error, shortened. Nested values are not formatted: they may have 4 MiB. */
function quote(value: unknown): string {
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'an object';
  return (JSON.stringify(value) ?? 'absent').slice(0, 120);
}

/**
 * Decodes the content in a descriptor's field `data` (OCI image spec, descriptor.md, "Embedded Content"). It is a copy
 * of the registry's content, so one that does not match digest and size is ignored, and the registry is asked. The 4
 * MiB of a manifest limit its size.
 */
export function parseData(
  text: string | undefined,
  { digest, size }: { readonly digest: Digest; readonly size: number },
): Uint8Array | undefined {
  if (text === undefined || text.length !== 4 * Math.ceil(size / 3)) return undefined;
  const bytes = Buffer.from(text, 'base64');
  const isWhole = bytes.length === size && hash(algorithmOf(digest), bytes) === hexOf(digest);
  return isWhole ? bytes : undefined;
}
