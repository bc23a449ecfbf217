import { createHash } from 'node:crypto';
import process from 'node:process';
import { ociManifest } from '../../src/oci/manifest.ts';
import type { ArtifactSource } from './artifacts.ts';

/** A blob in a registry. */
export type Blob = { readonly digest: string; readonly size: number };

/** Pushes an artifact to a registry that speaks plain HTTP; returns its layers. */
export async function pushArtifact(
  host: string,
  repository: string,
  tag: string,
  { layers }: ArtifactSource,
): Promise<readonly Blob[]> {
  const base = `http://${host}/v2/${repository}`;
  const pushed: Blob[] = [];
  for (const { chunks } of layers) pushed.push(await pushBlob(base, chunks));
  const { config, ...type } = configOf(layers.flatMap(({ diffId }) => diffId ?? []));
  const chunks = () => [Buffer.from(JSON.stringify(config.content))];
  const manifest = {
    schemaVersion: 2,
    mediaType: ociManifest,
    ...type,
    config: { mediaType: config.mediaType, ...(await pushBlob(base, chunks)) },
    layers: layers.map(({ mediaType, annotations }, at) => ({ mediaType, annotations, ...pushed[at] })),
  };
  await put(`${base}/manifests/${tag}`, [Buffer.from(JSON.stringify(manifest))], ociManifest);
  return pushed;
}

/** Layers without diff IDs are not those of an image (OCI image spec, manifest.md, "Guidelines for Artifact Usage"). */
function configOf(diffIds: readonly string[]) {
  if (diffIds.length === 0) {
    const config = { mediaType: 'application/vnd.oci.empty.v1+json', content: {} };
    return { artifactType: 'application/vnd.example.files', config };
  }
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const content = { architecture, os: 'linux', rootfs: { type: 'layers', diff_ids: diffIds } };
  return { config: { mediaType: 'application/vnd.oci.image.config.v1+json', content } };
}

/** The chunks are made twice: first for the digest. */
async function pushBlob(base: string, chunks: () => Iterable<Uint8Array>): Promise<Blob> {
  const hash = createHash('sha256');
  let size = 0;
  for (const chunk of chunks()) {
    hash.update(chunk);
    size += chunk.length;
  }
  const digest = `sha256:${hash.digest('hex')}`;
  const found = await fetch(`${base}/blobs/${digest}`, { method: 'HEAD' });
  if (found.ok) return { digest, size };
  const opened = await fetch(`${base}/blobs/uploads/`, { method: 'POST' });
  const location = new URL(opened.headers.get('location') ?? '', base);
  location.searchParams.set('digest', digest);
  await put(location.href, chunks(), 'application/octet-stream');
  return { digest, size };
}

async function put(url: string, chunks: Iterable<Uint8Array>, mediaType: string): Promise<void> {
  const body = ReadableStream.from(chunks);
  const headers = { 'content-type': mediaType };
  const response = await fetch(url, { method: 'PUT', body, headers, duplex: 'half' });
  if (!response.ok) throw new Error(`PUT ${url}: ${response.status} ${await response.text()}`);
}
