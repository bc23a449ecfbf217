/** Media types of manifests, configs and layers that decide what this driver does. */

export const ociIndex = 'application/vnd.oci.image.index.v1+json';
export const ociManifest = 'application/vnd.oci.image.manifest.v1+json';
export const dockerList = 'application/vnd.docker.distribution.manifest.list.v2+json';
export const dockerManifest = 'application/vnd.docker.distribution.manifest.v2+json';
const dockerSchema1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\b/;

/** Every manifest type that can be asked for, in the order of preference. */
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

export function isImageConfig(mediaType: string): boolean {
  return (
    mediaType === 'application/vnd.oci.image.config.v1+json' ||
    mediaType === 'application/vnd.docker.container.image.v1+json'
  );
}

const imageLayer =
  /^application\/vnd\.(?:oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+gzip|\+zstd)?|docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.gzip|\.zstd)?)$/;

/** A layer of a container image: a change set, to be applied to the layers below (OCI image spec, layer.md). */
export function isImageLayer(mediaType: string): boolean {
  return imageLayer.test(mediaType);
}

const tar = /\.tar(?:\+gzip|\.gzip|\+zstd)?$/;

/** A media type whose suffix says tar, compressed or not. */
export function isTar(mediaType: string): boolean {
  return tar.test(mediaType);
}

/** A layer of the model specification (CNCF ModelPack, and its earlier name). */
export function isModelLayer(mediaType: string): boolean {
  return (
    mediaType.startsWith('application/vnd.cncf.model.') || mediaType.startsWith('application/vnd.cnai.model.')
  );
}
