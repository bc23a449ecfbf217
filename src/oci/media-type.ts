/** The media types of manifests, configs and layers that this driver distinguishes. */

export const ociIndex = 'application/vnd.oci.image.index.v1+json';
export const ociManifest = 'application/vnd.oci.image.manifest.v1+json';
export const dockerList = 'application/vnd.docker.distribution.manifest.list.v2+json';
export const dockerManifest = 'application/vnd.docker.distribution.manifest.v2+json';
const dockerSchema1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\b/;

/** Every supported manifest type, in the order of preference. */
export const manifestMediaTypes: readonly string[] = [ociIndex, ociManifest, dockerList, dockerManifest];

export function isIndex(mediaType: string): boolean {
  return mediaType === ociIndex || mediaType === dockerList;
}

export function isManifest(mediaType: string): boolean {
  return mediaType === ociManifest || mediaType === dockerManifest;
}

/** Docker's first schema, which signs itself and has no content-addressed config. */
export function isSchema1(mediaType: string): boolean {
  return dockerSchema1.test(mediaType);
}

/** A config without a type counts as an image's, as in other runtimes. */
export function isImageConfig(mediaType: string): boolean {
  return (
    mediaType === '' ||
    mediaType === 'application/vnd.oci.image.config.v1+json' ||
    mediaType === 'application/vnd.docker.container.image.v1+json'
  );
}

const imageLayer =
  /^application\/vnd\.(?:oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+gzip|\+zstd)?|docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.gzip|\.zstd)?)$/;

/** A layer of a container image: a changeset, to be applied to the layers below (OCI image spec, layer.md). */
export function isImageLayer(mediaType: string): boolean {
  return imageLayer.test(mediaType);
}

/** The layer types of an image, and those by which encryption, nydus and EROFS replace them. */
export function claimsImageLayer(mediaType: string): boolean {
  return /^application\/vnd\.(?:oci\.image\.layer\.|docker\.image\.rootfs\.|erofs\.layer\.)/.test(mediaType);
}

/** The type of the empty descriptor (OCI image spec, manifest.md). */
export const emptyType = 'application/vnd.oci.empty.v1+json';

/** Tools end the type of a tar in `.tar`, `.tar+gzip`, `.tar.gzip`, `+tar.gz` and more. */
const tar = /[/.+-](?:tar(?:[.+](?:gzip|gz|zstd|zst))?|tgz)$/;

/** Whether the suffix of a media type means tar, compressed or not. */
export function isTar(mediaType: string): boolean {
  return tar.test(mediaType);
}

const modelFormats = ['cncf.model', 'cnai.model', 'kitops.modelkit', 'docker.ai'];

/** A layer of the model specification (CNCF ModelPack, and its earlier name), of KitOps or of Docker Model Runner. */
export function isModelLayer(mediaType: string): boolean {
  return modelFormats.some(format => mediaType.startsWith(`application/vnd.${format}.`));
}
