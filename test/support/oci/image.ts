import { ociManifest } from '../../../src/oci/manifest.ts';
import type { FaultyRegistry } from '../registry/faulty-registry.ts';
import { gzip, sha256 } from './tar.ts';

/**
 * Pushes a container image of one layer past guard and faults. `digests`: of its config, its layer and its manifest.
 */
export async function pushImage(
  { host, registry }: FaultyRegistry,
  repository: string,
  tar: Buffer,
): Promise<{ readonly reference: string; readonly digests: readonly string[] }> {
  const put = async (bytes: Buffer, mediaType: string) => ({
    mediaType,
    digest: await registry.putBlob(repository, bytes),
    size: bytes.length,
  });
  const document = Buffer.from(JSON.stringify({ rootfs: { type: 'layers', diff_ids: [sha256(tar)] } }));
  const config = await put(document, 'application/vnd.oci.image.config.v1+json');
  const layer = await put(gzip(tar), 'application/vnd.oci.image.layer.v1.tar+gzip');
  const manifest = { schemaVersion: 2, mediaType: ociManifest, config, layers: [layer] };
  const bytes = Buffer.from(JSON.stringify(manifest));
  await registry.putManifest(repository, 'v1', ociManifest, bytes);
  return { reference: `${host}/${repository}:v1`, digests: [config.digest, layer.digest, sha256(bytes)] };
}
