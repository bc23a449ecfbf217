import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { pino } from 'pino';
import { toSettings } from '../../src/cli/command-line.ts';
import type { Node } from '../../src/node.ts';
import { ociIndex, ociManifest } from '../../src/oci/manifest.ts';
import { toPlatform } from '../../src/oci/platform.ts';
import type { PublishRequest, PullRequest } from '../../src/ports/request.ts';
import { ArtifactError } from '../../src/util/error.ts';
import { openNode } from '../../src/wiring.ts';
import { type TestNode, testNode } from '../support/node/daemon.ts';
import { sha256, tarOf } from '../support/oci/tar.ts';
import { unmountBelow } from '../support/os/mounts.ts';
import { needs } from '../support/project/tools.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';

const never = new AbortController().signal;
const unmeasured = { bytesPulled() {}, damageFound() {}, pullEnded() {} };

/** Something that a tag can name: an artifact, or one of two indexes that list it for this platform. */
type Named = { readonly content: number; readonly by: 'manifest' | 'index' | 'other index' };
type Step =
  | ({ readonly kind: 'publish'; readonly target: number; readonly tag: string } & Named)
  | ({ readonly kind: 'pull'; readonly tag: string } & Named)
  | ({ readonly kind: 'load'; readonly tag: string } & Named)
  | { readonly kind: 'unpublish'; readonly target: number }
  | { readonly kind: 'rm' | 'pin' | 'unpin'; readonly tag: string }
  | { readonly kind: 'prune' | 'restart' | 'reboot' };

const tags = fc.constantFrom('a', 'b', 'c');
const targets = fc.nat(1);
const named = {
  content: fc.nat(1),
  by: fc.constantFrom<Named['by']>('manifest', 'index', 'other index'),
};
const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('publish'), target: targets, tag: tags, ...named }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('pull'), tag: tags, ...named }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('load'), tag: tags, ...named }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('unpublish'), target: targets }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('rm', 'pin', 'unpin'), tag: tags }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('prune', 'restart', 'reboot') }) },
);

/** What something named is made of; the first digest is that of the name. */
type Bundle = {
  readonly root: { readonly mediaType: string; readonly bytes: Buffer };
  readonly blobs: readonly Buffer[];
  readonly digests: readonly string[];
};

function bundleOf({ content, by }: Named): Bundle {
  const describe = (mediaType: string, bytes: Buffer, more = {}) => ({
    mediaType,
    digest: sha256(bytes),
    size: bytes.length,
    ...more,
  });
  const config = Buffer.from('{}');
  const files = [Buffer.from(`content ${content}`), Buffer.from('shared by all')];
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: ociManifest,
      artifactType: 'application/x.test',
      config: describe('application/vnd.oci.empty.v1+json', config),
      layers: files.map((bytes, nth) =>
        describe('text/plain', bytes, { annotations: { 'org.opencontainers.image.title': `f${nth}` } }),
      ),
    }),
  );
  const parts = [manifest, ...files].map(sha256);
  if (by === 'manifest')
    return {
      root: { mediaType: ociManifest, bytes: manifest },
      blobs: [config, ...files, manifest],
      digests: parts,
    };
  const index = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: ociIndex,
      manifests: [describe(ociManifest, manifest, { platform: toPlatform(process.arch) })],
      annotations: { by },
    }),
  );
  return {
    root: { mediaType: ociIndex, bytes: index },
    blobs: [config, ...files, manifest, index],
    digests: [sha256(index), ...parts],
  };
}

/** A node, and what of its cache must be there. */
async function openTrial(node: TestNode, registry: FaultyRegistry) {
  const settings = toSettings(
    {
      stateDir: node.stateDir,
      kubeletDir: node.kubeletDir,
      cacheHigh: '100',
      cacheLow: '100',
      diskMax: '100',
    },
    {
      OCI_ARTIFACT_REGISTRIES_CONF: node.registriesConf,
      OCI_ARTIFACT_REGISTRIES_CONF_DIR: node.registriesConfDir,
    },
  );
  const open = (): Promise<Node> => openNode(settings, pino({ level: 'silent' }), unmeasured);
  let useCases = await open();
  const volumes = new Map<number, { readonly tag: string; readonly digests: readonly string[] }>();
  const pins = new Map<string, readonly string[]>();
  const names = new Map<string, readonly string[]>();

  const nameOf = (tag: string): string => `${registry.host}/team/model:${tag}`;
  const asking = (tag: string, pullPolicy: PullRequest['pullPolicy']): PullRequest => ({
    reference: nameOf(tag),
    ...(pullPolicy && { pullPolicy }),
    selection: { unpack: 'auto', include: [], exclude: [] },
    secrets: {},
    caller: 'administrator',
  });
  const pathOf = (target: number): string =>
    join(node.kubeletDir, `pods/${target}/volumes/kubernetes.io~csi/v/mount`);
  const toPublish = (target: number, tag: string): PublishRequest => ({
    ...asking(tag, 'Always'),
    volumeId: `csi-${target}`,
    targetPath: pathOf(target),
    anywhere: false,
    mountFlags: [],
    fingerprint: tag,
  });

  const push = async (tag: string, what: Named): Promise<readonly string[]> => {
    const { root, blobs, digests } = bundleOf(what);
    for (const bytes of blobs) await registry.registry.putBlob('team/model', bytes);
    const manifest = bundleOf({ ...what, by: 'manifest' }).root;
    await registry.registry.putManifest('team/model', 'untagged', manifest.mediaType, manifest.bytes);
    await registry.registry.putManifest('team/model', tag, root.mediaType, root.bytes);
    return digests;
  };

  /** What a name must keep; of what it was before, nothing. */
  const name = (tag: string, digests: readonly string[]): void => {
    names.set(tag, digests);
  };

  const unpublish = async (target: number): Promise<void> => {
    await useCases.publishing.unpublish({ path: pathOf(target), anywhere: false }, never);
    volumes.delete(target);
  };

  const load = async (tag: string, what: Named): Promise<void> => {
    const { root, blobs, digests } = bundleOf(what);
    const index = {
      schemaVersion: 2,
      manifests: [{ mediaType: root.mediaType, digest: sha256(root.bytes), size: root.bytes.length }],
    };
    const tar = await tarOf([
      [{ name: 'oci-layout' }, '{"imageLayoutVersion":"1.0.0"}'],
      [{ name: 'index.json' }, JSON.stringify(index)],
      ...blobs.map(bytes => [{ name: `blobs/sha256/${sha256(bytes).slice(7)}` }, bytes] as const),
    ]);
    async function* stream() {
      yield tar;
    }
    await useCases.artifacts.load(stream(), nameOf(tag), never);
    name(tag, digests);
  };

  const isDone = (tag: string, work: Promise<unknown>): Promise<boolean> =>
    work.then(
      () => true,
      (thrown: unknown) => {
        assert.ok(thrown instanceof ArtifactError, String(thrown));
        assert.ok(['not-found', 'denied'].includes(thrown.code), `${tag}: ${thrown.message}`);
        return false;
      },
    );

  const perform = async (step: Step): Promise<void> => {
    switch (step.kind) {
      case 'publish': {
        await unpublish(step.target);
        const digests = await push(step.tag, step);
        mkdirSync(dirname(pathOf(step.target)), { recursive: true });
        await useCases.publishing.publish(toPublish(step.target, step.tag), never);
        volumes.set(step.target, { tag: step.tag, digests });
        name(step.tag, digests);
        return;
      }
      case 'pull': {
        const digests = await push(step.tag, step);
        await useCases.artifacts.pull(asking(step.tag, 'Always'), () => undefined, never);
        name(step.tag, digests);
        return;
      }
      case 'load':
        return load(step.tag, step);
      case 'unpublish':
        return unpublish(step.target);
      case 'rm':
        if (await isDone(step.tag, useCases.artifacts.remove(nameOf(step.tag)))) names.delete(step.tag);
        return;
      case 'pin': {
        const digests = names.get(step.tag);
        if (await isDone(step.tag, useCases.artifacts.pin(nameOf(step.tag))))
          if (digests !== undefined) pins.set(step.tag, digests);
        return;
      }
      case 'unpin':
        // A pin may be ended by another name of the same digest.
        if (await isDone(step.tag, useCases.artifacts.unpin(nameOf(step.tag)))) pins.delete(step.tag);
        return;
      case 'prune':
        await useCases.artifacts.prune(never);
        names.clear();
        return;
      case 'restart':
        await useCases.close();
        useCases = await open();
        return;
      case 'reboot': {
        await useCases.close();
        unmountBelow(node.kubeletDir);
        useCases = await open();
        registry.fault(() => ({ kind: 'status', status: 503 }));
        for (const [target, { tag }] of volumes)
          await useCases.publishing.publish(toPublish(target, tag), never);
        registry.fault(() => undefined);
        return;
      }
    }
  };

  return {
    perform,
    /** What a root of the model holds and the cache has not. */
    lost(): readonly string[] {
      const held = new Set([
        ...[...volumes.values()].flatMap(volume => volume.digests),
        ...[...pins.values(), ...names.values()].flat(),
      ]);
      const isThere = (digest: string): boolean =>
        existsSync(join(node.stateDir, 'blobs/sha256', digest.slice(7)));
      return [...held].filter(digest => !isThere(digest));
    },
    async close() {
      for (const target of volumes.keys()) await unpublish(target);
      await useCases.close();
    },
  };
}

test(
  'no sequence of operations loses content that a volume, a pin or a name needs',
  needs('root'),
  async () => {
    await using registry = await openFaultyRegistry();
    await fc.assert(
      fc.asyncProperty(fc.array(steps, { minLength: 4, maxLength: 12 }), async sequence => {
        await using node = await testNode([registry.host]);
        const trial = await openTrial(node, registry);
        for (const step of sequence) {
          await trial.perform(step);
          assert.deepEqual(trial.lost(), [], `after ${JSON.stringify(step)}`);
        }
        await trial.close();
      }),
      { numRuns: 20, endOnFailure: true },
    );
  },
);
