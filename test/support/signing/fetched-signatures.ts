import assert from 'node:assert/strict';
import type { Descriptor } from '../../../src/oci/descriptor.ts';
import { type Digest, parseDigest } from '../../../src/oci/digest.ts';
import { ociIndex, ociManifest, parseManifest } from '../../../src/oci/manifest.ts';
import type { SignatureSource } from '../../../src/ports/trust.ts';
import { doAtOnce } from '../../../src/util/pace.ts';

/** Signatures as in a registry. */
export function openFetchedSource(host: string, repository: string): SignatureSource {
  const url = `http://${host}/v2/${repository}`;
  const headers = { accept: `${ociManifest}, ${ociIndex}` };

  async function get(path: string) {
    const response = await fetch(`${url}/${path}`, { headers });
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (response.status === 404) return undefined;
    assert.equal(response.status, 200);
    const mediaType = response.headers.get('content-type') ?? '';
    const digest = response.headers.get('docker-content-digest') ?? '';
    return { bytes, mediaType, digest };
  }

  const held = async (path: string) => (await get(path))?.bytes ?? assert.fail(`no ${path}`);

  return {
    async tag(name) {
      const got = await get(`manifests/${name}`);
      if (got === undefined) return undefined;
      const { bytes, mediaType, digest } = got;
      const descriptor = { mediaType, digest: parseDigest(digest), size: bytes.length, annotations: {} };
      return { bytes, descriptor };
    },
    async referrers(digest) {
      const got = await get(`referrers/${digest}`);
      if (got === undefined) return undefined;
      const index = doAtOnce(parseManifest(got.bytes, ociIndex, 'the referrers'));
      return index.kind === 'index' ? index.manifests : [];
    },
    manifest: descriptor => held(`manifests/${descriptor.digest}`),
    blob: descriptor => held(`blobs/${descriptor.digest}`),
  };
}

/** The referrers of a digest, by the API or by the tag. */
export async function listReferrers(
  source: SignatureSource,
  digest: Digest,
  signal: AbortSignal,
): Promise<[Descriptor, ...Descriptor[]]> {
  const tagged = await source.tag(digest.replace(':', '-'), signal);
  const index = tagged && doAtOnce(parseManifest(tagged.bytes, tagged.descriptor.mediaType, ''));
  const fallback = index?.kind === 'index' ? index.manifests : [];
  const [first, ...more] = (await source.referrers(digest, '', signal)) ?? fallback;
  assert.ok(first);
  return [first, ...more];
}
