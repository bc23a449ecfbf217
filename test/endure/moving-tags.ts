import { createHash } from 'node:crypto';
import process from 'node:process';
import { ociIndex } from '../../src/oci/manifest.ts';
import { type Shown, shownOf } from '../support/node/volume.ts';
import { gzip, tarOf } from '../support/oci/tar.ts';
import type { Random } from '../support/os/random.ts';
import type { FaultyRegistry } from '../support/registry/faulty-registry.ts';

const KiB = 1024;
const repositoryCount = 4;

/** A tag whose content changes. `versions` are in the order of their pushes; a volume shows exactly one of them. */
export type MovingTag = {
  readonly repository: string;
  readonly reference: string;
  readonly versions: Shown[];
};

/**
 * The tags of one registry. Each repository has an index `:latest` and its manifest `:child`; all share some layers.
 */
export type MovingTags = {
  readonly tags: readonly MovingTag[];
  /** Pushes a new version under both tags of a repository. */
  move(repository: string): Promise<void>;
};

export async function openMovingTags(registry: FaultyRegistry, random: Random): Promise<MovingTags> {
  const repositories = Array.from({ length: repositoryCount }, (_, nth) => `moving-${nth}`);
  const tags = repositories.flatMap(repository => {
    const versions: Shown[] = [];
    const toTag = (tag: string): MovingTag => ({
      repository,
      reference: `${registry.host}/${repository}:${tag}`,
      versions,
    });
    return [toTag('latest'), toTag('child')];
  });
  const shared = ['shared.bin', bytesOf(random, 150 * KiB)] as const;

  async function move(repository: string): Promise<void> {
    const own = ['own.bin', bytesOf(random, 40 * KiB)] as const;
    const packed = Array.from(
      { length: 40 },
      (_, at) => [`tree/d${at % 7}/f${at}`, bytesOf(random, 300)] as const,
    );
    const tar = gzip(await tarOf(packed.map(([name, bytes]) => [{ name }, bytes])));
    const layers = [
      { name: shared[0], bytes: shared[1] },
      { name: own[0], bytes: own[1] },
      { bytes: tar, mediaType: 'application/vnd.acme.layer.v1.tar+gzip' },
    ];
    const versions = tags.find(tag => tag.repository === repository)?.versions;
    versions?.push(shownOf([shared, own, ...packed])); // before a publish can see it
    const { manifest } = await registry.push(repository, 'child', layers);
    const { mediaType, digest, size } = manifest;
    const platform = { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : 'arm64' };
    const index = {
      schemaVersion: 2,
      mediaType: ociIndex,
      manifests: [{ mediaType, digest, size, platform }],
    };
    await registry.registry.putManifest(repository, 'latest', ociIndex, Buffer.from(JSON.stringify(index)));
  }

  for (const repository of repositories) await move(repository);
  return { tags, move };
}

/** Bytes that the seed decides: blocks of a hash chain. */
function bytesOf(random: Random, size: number): Buffer {
  let block = createHash('sha256').update(`${random.next()}`).digest();
  const blocks: Buffer[] = [];
  for (let length = 0; length < size; length += block.length) {
    blocks.push(block);
    block = createHash('sha256').update(block).digest();
  }
  return Buffer.concat(blocks).subarray(0, size);
}
