import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import type { Architecture } from './tree.ts';

/** An OCI image layout in a directory, for what images are made of. */

export type Descriptor = {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly os: string; readonly architecture: Architecture };
  readonly annotations?: Readonly<Record<string, string>>;
};

export const mediaTypes = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
} as const;

export type Manifest = { readonly config: Descriptor; readonly layers: readonly Descriptor[] };

export type ImageConfig = {
  readonly rootfs: { readonly diff_ids: readonly string[] };
  readonly created: string;
  readonly config: {
    readonly Env: readonly string[];
    readonly Entrypoint: readonly string[];
    readonly Cmd?: readonly string[];
    readonly User?: string;
    readonly Labels?: Readonly<Record<string, string>>;
  };
};

/** Makes an index or a manifest the content of a layout. */
export function writeLayoutIndex(layout: string, descriptor: Descriptor): void {
  const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [descriptor] };
  writeFileSync(join(layout, 'index.json'), JSON.stringify(index));
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
}

export function blobPath(layout: string, digest: string): string {
  return join(layout, 'blobs', digest.replace(':', '/'));
}

/** The digest of what a layout contains: an index or, for one platform, a manifest. */
export function readLayoutDigest(layout: string): string {
  const { manifests } = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as {
    readonly manifests: readonly Descriptor[];
  };
  return manifests[0]?.digest ?? '';
}

/** The manifests of an index, by architecture; of a manifest itself, none. */
export function readIndex(layout: string, digest: string): ReadonlyMap<Architecture, Descriptor> {
  const { manifests = [] } = readJson(layout, digest) as { readonly manifests?: readonly Descriptor[] };
  return new Map(
    manifests.flatMap(manifest => (manifest.platform ? [[manifest.platform.architecture, manifest]] : [])),
  );
}

export function readManifest(layout: string, digest: string): Manifest {
  return readJson(layout, digest) as Manifest;
}

export function readConfig(layout: string, { config }: Manifest): ImageConfig {
  return readJson(layout, config.digest) as ImageConfig;
}

function readJson(layout: string, digest: string): unknown {
  return JSON.parse(readFileSync(blobPath(layout, digest), 'utf8'));
}

/** Stores a blob. Two processes may store the same one at once. */
export function writeBlob(layout: string, mediaType: string, bytes: Buffer): Descriptor {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  const path = blobPath(layout, digest);
  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true });
  writeFileSync(`${path}.${process.pid}`, bytes);
  renameSync(`${path}.${process.pid}`, path);
  return { mediaType, digest, size: bytes.length };
}

export function writeJson(layout: string, mediaType: string, value: unknown): Descriptor {
  return writeBlob(layout, mediaType, Buffer.from(JSON.stringify(value)));
}
