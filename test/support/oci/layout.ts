import { ociIndex, ociManifest } from '../../../src/oci/manifest.ts';
import type { TestDaemon } from '../node/daemon.ts';
import { sha256, tarOf } from './tar.ts';

export type LayoutLayer = {
  readonly name?: string;
  readonly mediaType?: string;
  readonly bytes: Buffer;
  readonly isAbsent?: boolean;
  /** Stored in the place of its bytes. */
  readonly instead?: Buffer | undefined;
};

/** The tar of an image layout of one artifact without a name; the manifest and listed layers may be missing. */
export async function layoutOf(layers: readonly LayoutLayer[], isManifestAbsent = false): Promise<Buffer> {
  const config = Buffer.from('{}');
  const describe = (mediaType: string, bytes: Buffer) => ({
    mediaType,
    digest: sha256(bytes),
    size: bytes.length,
  });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: ociManifest,
      artifactType: 'application/vnd.example',
      config: describe('application/vnd.oci.empty.v1+json', config),
      layers: layers.map(({ name, mediaType = 'application/octet-stream', bytes }) => ({
        ...describe(mediaType, bytes),
        ...(name === undefined ? {} : { annotations: { 'org.opencontainers.image.title': name } }),
      })),
    }),
  );
  const index = { schemaVersion: 2, mediaType: ociIndex, manifests: [describe(ociManifest, manifest)] };
  const blobs: readonly LayoutLayer[] = [
    { bytes: config },
    { bytes: manifest, isAbsent: isManifestAbsent },
    ...layers,
  ];
  return tarOf([
    [{ name: 'oci-layout' }, '{"imageLayoutVersion":"1.0.0"}'],
    [{ name: 'index.json' }, JSON.stringify(index)],
    ...blobs
      .filter(({ isAbsent }) => isAbsent !== true)
      .map(
        ({ bytes, instead = bytes }) =>
          [{ name: `blobs/sha256/${sha256(bytes).slice(7)}` }, instead] as const,
      ),
  ]);
}

/** Lets a daemon load a tar under a name. `ends`: whether the stream of the call ends. */
export function loadTar(
  daemon: Pick<TestDaemon, 'streams'>,
  reference: string,
  tar: Buffer,
  ends = true,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call = daemon.streams.Load((error, response) =>
      error === null ? resolve(response) : reject(error),
    );
    call.write({ reference });
    for (let at = 0; at < tar.length; at += 1 << 16) call.write({ chunk: tar.subarray(at, at + (1 << 16)) });
    if (!ends) return;
    call.write({ last: true });
    call.end();
  });
}
