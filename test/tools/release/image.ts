import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { serveOnArm64 } from '../../support/image/arm64.ts';
import { readBaseContent } from '../image/base-content.ts';
import { buildImage, readCommit } from '../image/build.ts';
import { startBuildKit } from '../image/buildkit.ts';
import { blobPath, readIndex, readLayoutDigest, readManifest } from '../image/layout.ts';
import { writeSbom } from '../image/sbom.ts';
import type { Architecture } from '../image/tree.ts';
import type { ReleaseOptions } from './options.ts';
import { attest, push, sign } from './publication.ts';

const architectures: readonly Architecture[] = ['amd64', 'arm64'];

export type ReleasedImage = {
  readonly repository: string;
  readonly digest: string;
  readonly tags: readonly string[];
};

/** Builds the image of a checkout in a directory, pushes it, signs it, and attests an SBOM of each platform. */
export async function releaseImage(
  source: string,
  directory: string,
  options: ReleaseOptions,
): Promise<ReleasedImage> {
  const commit = await readCommit(source);
  const layout = join(directory, 'image');
  await using kit = await startBuildKit();
  await buildImage(kit, { source, commit, architectures, base: { reference: options.base } }, layout);
  const { name, version } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as {
    readonly name: string;
    readonly version: string;
  };
  const repository = `${options.registry}/${name}`;
  const digest = readLayoutDigest(layout);
  const onArm64 = readIndex(layout, digest).get('arm64');
  if (options.isTriedOnArm64 && onArm64) await serveOnArm64(layout, onArm64.digest);
  const platforms = await Promise.all(
    [...readIndex(layout, digest)].map(async ([architecture, manifest]) => {
      const { layers } = readManifest(layout, manifest.digest);
      const base = await readBaseContent(layers.map(layer => blobPath(layout, layer.digest)));
      const sbom = writeSbom({ source, commit, architecture, digest: manifest.digest, base });
      const file = join(directory, `${architecture}.cdx.json`);
      writeFileSync(file, JSON.stringify(sbom, undefined, 2));
      return { digest: manifest.digest, release: base.release, sbom: file };
    }),
  );
  const moving = [...new Set(platforms.map(({ release }) => `${version}-debian${release}`))];
  const tags = options.isRefresh ? { moving } : { frozen: version, moving };
  await push({ layout, digest, repository }, tags, options);
  sign(`${repository}@${digest}`, options);
  for (const platform of platforms)
    attest(`${repository}@${platform.digest}`, { type: 'cyclonedx', file: platform.sbom }, options);
  return { repository, digest, tags: options.isRefresh ? moving : [version, ...moving] };
}
