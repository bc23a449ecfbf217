import { ArtifactError } from '../util/error.ts';
import type { Descriptor } from './descriptor.ts';
import { algorithmOf, type Digest, isDigest, shortDigest } from './digest.ts';
import { isImageConfig, type Manifest, titleOf } from './manifest.ts';

/**
 * Whether a manifest is a container image. The type of the config is not enough: many tools use an image's for any
 * config. An image's config lists diff_ids, and all its layers are declared as changesets. If there are not as many
 * diff_ids as layers, an artifactType, or a name for each layer, makes it an artifact all the same.
 */
export function isImage(
  { config, layers, artifactType }: Manifest,
  diffIds: readonly string[] | undefined,
): boolean {
  if (!isImageConfig(config.mediaType) || diffIds === undefined) return false;
  if (!layers.every(layer => claimsImageLayer(layer.mediaType))) return false;
  if (diffIds.length === layers.length) return true;
  return (
    diffIds.length > 0 && artifactType === undefined && !layers.every(layer => titleOf(layer) !== undefined)
  );
}

type ImageLayer = {
  readonly descriptor: Descriptor;
  readonly label: string;
  readonly name: '';
  readonly form: 'unpacked';
  readonly diffId: Digest;
};

/**
 * Returns the changesets of an image, the lowest first. It yields after each.
 *
 * @throws ArtifactError `unmountable`, naming layer and media type, for one that cannot be unpacked or has no diff_id.
 */
export function* planImage(
  layers: readonly Descriptor[],
  diffIds: readonly string[],
  label: string,
): Generator<void, readonly ImageLayer[]> {
  const refuse = (name: string, { mediaType }: Descriptor, why: string): never => {
    throw new ArtifactError(
      'unmountable',
      `${name} ${why} (its media type is ${mediaType}); push the image again`,
    );
  };
  const planned: ImageLayer[] = [];
  for (const [index, descriptor] of layers.entries()) {
    const name = `layer ${index + 1} (${shortDigest(descriptor.digest)}) of ${label}`;
    if (!isImageLayer(descriptor.mediaType)) return refuse(name, descriptor, whyNot(descriptor.mediaType));
    const diffId = diffIds[index];
    const isLast = index === layers.length - 1;
    if (diffId === undefined || (isLast && diffIds.length > layers.length)) {
      const counts = `lists ${diffIds.length} diff_ids for ${layers.length} layers`;
      const whose = diffId === undefined ? 'has no diff_id' : 'may have the diff_id of another layer';
      return refuse(
        name,
        descriptor,
        `${whose}: the config of the image ${counts}, so it is that of another`,
      );
    }
    planned.push({ descriptor, label: name, name: '', form: 'unpacked', diffId: verifyDiffId(diffId, name) });
    yield;
  }
  return planned;
}

/**
 * Parses a diff_id. Only sha256 is computed while a layer is unpacked.
 *
 * @throws ArtifactError `unmountable` for an invalid digest, and for another algorithm.
 */
export function verifyDiffId(text: string, label: string): Digest {
  if (!isDigest(text)) {
    const shown = JSON.stringify(text).slice(0, 120);
    throw new ArtifactError('unmountable', `${label} has the diff_id ${shown}, which is no digest`);
  }
  if (algorithmOf(text) === 'sha256') return text;
  throw new ArtifactError(
    'unmountable',
    `${label} has the ${algorithmOf(text)} of its uncompressed bytes, and only their sha256 is checked; push it again with that`,
  );
}

/** Known layer types of images that are not tars. */
function whyNot(mediaType: string): string {
  if (mediaType.endsWith('+encrypted')) return 'is encrypted, and this driver has no keys';
  if (mediaType.includes('.nydus.')) return 'is in the format of nydus, which only its snapshotter reads';
  if (mediaType.includes('erofs')) return 'is an EROFS filesystem, not a tar';
  return 'is of a media type that this driver does not unpack';
}

const imageLayer =
  /^application\/vnd\.(?:oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+gzip|\+zstd)?|docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.gzip|\.zstd)?)$/;

/** A layer of a container image: a changeset, to be applied to the layers below (OCI image spec, layer.md). */
function isImageLayer(mediaType: string): boolean {
  return imageLayer.test(mediaType);
}

/** The layer types of an image, and those by which encryption, nydus and EROFS replace them. */
function claimsImageLayer(mediaType: string): boolean {
  return /^application\/vnd\.(?:oci\.image\.layer\.|docker\.image\.rootfs\.|erofs\.layer\.)/.test(mediaType);
}
