import { join } from 'node:path';
import { parse } from 'yaml';
import { type ChartImage, packChart } from '../chart/archive.ts';
import { mediaTypes, writeBlob, writeJson, writeLayoutIndex } from '../image/layout.ts';
import { readTarball } from '../image/tarball.ts';
import type { ReleaseOptions } from './options.ts';
import { push, sign } from './publication.ts';

export type ReleasedChart = {
  readonly repository: string;
  readonly version: string;
  readonly digest: string;
};

/** Packs the chart of a checkout so that it installs an image, pushes it to `charts/`, and signs it. */
export async function releaseChart(
  source: string,
  image: ChartImage,
  directory: string,
  options: ReleaseOptions,
): Promise<ReleasedChart> {
  const layout = join(directory, 'chart');
  const { bytes } = await packChart(source, { repository: image.repository, digest: image.digest });
  const { name, version, digest } = await writeChart(bytes, layout);
  const repository = `${options.registry}/charts/${name}`;
  await push({ layout, digest, repository }, { frozen: version, moving: [] }, options);
  sign(`${repository}@${digest}`, options);
  return { repository, version, digest };
}

/**
 * Writes a packed chart as an OCI layout, as Helm stores charts in registries (HIP-0006), but without the time of the
 * push: the same chart has the same digest.
 */
async function writeChart(bytes: Buffer, layout: string): Promise<Metadata & { readonly digest: string }> {
  const metadata = parse(String((await readTarball(bytes)).get('Chart.yaml'))) as Metadata;
  const manifest = writeJson(layout, mediaTypes.manifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: writeJson(layout, 'application/vnd.cncf.helm.config.v1+json', metadata),
    layers: [writeBlob(layout, 'application/vnd.cncf.helm.chart.content.v1.tar+gzip', bytes)],
    annotations: {
      'org.opencontainers.image.title': metadata.name,
      'org.opencontainers.image.version': metadata.version,
      'org.opencontainers.image.description': metadata.description,
    },
  });
  writeLayoutIndex(layout, manifest);
  return { ...metadata, digest: manifest.digest };
}

type Metadata = { readonly name: string; readonly version: string; readonly description: string };
