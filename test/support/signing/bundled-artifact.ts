import { hash } from 'node:crypto';
import { type Digest, parseDigest } from '../../../src/oci/digest.ts';
import { ociManifest } from '../../../src/oci/manifest.ts';

const bundleType = 'application/vnd.dev.sigstore.bundle.v0.3+json';
const emptyType = 'application/vnd.oci.empty.v1+json';

/** Pushes an artifact of these bytes with a bundle that refers to it; returns its digest. */
export async function pushBundled(
  host: string,
  repository: string,
  bytes: string,
  makeBundle: (digest: Digest) => string,
): Promise<Digest> {
  const url = `http://${host}/v2/${repository}`;

  async function put(target: string | URL, mediaType: string, body: Buffer): Promise<void> {
    const response = await fetch(target, { method: 'PUT', body, headers: { 'content-type': mediaType } });
    if (!response.ok) throw new Error(`PUT ${String(target)}: ${response.status}`);
  }

  async function putBlob(mediaType: string, text: string): Promise<object> {
    const body = Buffer.from(text);
    const digest = digestOf(body);
    const { headers } = await fetch(`${url}/blobs/uploads/`, { method: 'POST' });
    const target = new URL(headers.get('location') ?? '', url);
    target.searchParams.set('digest', digest);
    await put(target, 'application/octet-stream', body);
    return { mediaType, digest, size: body.length };
  }

  async function putManifest(manifest: object): Promise<{ digest: Digest; size: number }> {
    const body = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: ociManifest, ...manifest }));
    const digest = digestOf(body);
    await put(`${url}/manifests/${digest}`, ociManifest, body);
    return { digest, size: body.length };
  }

  const config = await putBlob(emptyType, '{}');
  const layers = [await putBlob('application/octet-stream', bytes)];
  const artifact = await putManifest({ artifactType: 'application/x.model', config, layers });
  await putManifest({
    artifactType: bundleType,
    config,
    layers: [await putBlob(bundleType, makeBundle(artifact.digest))],
    subject: { mediaType: ociManifest, ...artifact },
    annotations: { 'dev.sigstore.bundle.predicateType': 'https://sigstore.dev/cosign/sign/v1' },
  });
  return artifact.digest;
}

function digestOf(bytes: Buffer): Digest {
  return parseDigest(`sha256:${hash('sha256', bytes)}`);
}
