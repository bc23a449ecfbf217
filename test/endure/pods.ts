import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { publishRequest, type TestDaemon, type TestNode } from '../support/node/daemon.ts';
import { mountsAt, type Shown, verifyGone, verifyVolume } from '../support/node/volume.ts';
import { readTree } from '../support/oci/tree.ts';
import type { Random } from '../support/os/random.ts';
import type { MovingTag } from './moving-tags.ts';

type Request = Awaited<ReturnType<typeof publishRequest>>;

/**
 * A volume of one pod. `publishing` and `unpublishing` mean that a kill interrupted the call, which may have taken
 * effect. `shown` is set once a publish succeeded, and never changes after that.
 */
export type PodVolume = {
  readonly tag: MovingTag;
  readonly request: Request;
  /** Earlier versions were replaced before the volume was requested. */
  readonly oldest: number;
  state: 'publishing' | 'published' | 'unpublishing';
  shown?: Shown;
};

/**
 * The pods of one node, as in kubelet: a volume is requested until it is published, and unpublished until it is gone.
 */
export type Pods = {
  readonly volumes: ReadonlySet<PodVolume>;
  /** Does the volume's next step: publishes, publishes again, or unpublishes. */
  step(daemon: TestDaemon, volume: PodVolume): Promise<void>;
  /** A volume of a new pod. */
  add(tag: MovingTag): Promise<PodVolume>;
  /** Publishes or unpublishes until no call is interrupted. */
  settle(daemon: TestDaemon): Promise<void>;
  /** Asserts what holds at any moment, with and without a daemon. */
  verify(chosen?: PodVolume): void;
};

export function openPods(node: TestNode, random: Random): Pods {
  const volumes = new Set<PodVolume>();

  async function publish(daemon: TestDaemon, volume: PodVolume): Promise<void> {
    const target = volume.request.target_path;
    await daemon.csi.NodePublishVolume(volume.request);
    volume.shown ??= versionAt(volume);
    verifyVolume(target, volume.shown);
    volume.state = 'published';
  }

  async function unpublish(daemon: TestDaemon, volume: PodVolume): Promise<void> {
    volume.state = 'unpublishing';
    await daemon.csi.NodeUnpublishVolume(volume.request);
    verifyGone(volume.request.target_path);
    const [pod] = volume.request.target_path.split('/volumes/');
    if (pod !== undefined) rmSync(pod, { recursive: true });
    volumes.delete(volume);
  }

  return {
    volumes,
    async step(daemon, volume) {
      if (volume.state === 'publishing') await publish(daemon, volume);
      else if (volume.state === 'unpublishing' || random.next() < 0.6) await unpublish(daemon, volume);
      else await publish(daemon, volume);
    },
    async add(tag) {
      const request = await publishRequest(node, { reference: tag.reference, pullPolicy: 'Always' });
      const volume: PodVolume = { tag, request, oldest: tag.versions.length - 1, state: 'publishing' };
      volumes.add(volume);
      return volume;
    },
    async settle(daemon) {
      for (const volume of volumes) {
        if (volume.state === 'unpublishing') await unpublish(daemon, volume);
        else await publish(daemon, volume);
      }
    },
    verify(chosen) {
      for (const { request, state } of volumes) {
        const mounts = mountsAt(request.target_path).length;
        if (state === 'published') assert.equal(mounts, 1, `${request.target_path} has one mount`);
        else assert.ok(mounts <= 1, `${request.target_path} has ${mounts} mounts`);
      }
      if (chosen?.state === 'published' && chosen.shown !== undefined)
        verifyVolume(chosen.request.target_path, chosen.shown);
    },
  };
}

/**
 * Returns the one version that a volume shows.
 *
 * @throws if it shows none, or one that was replaced before the request.
 */
function versionAt({ tag, request, oldest }: PodVolume): Shown {
  const tree = readTree(request.target_path);
  const version = tag.versions.slice(oldest).find(candidate => isSame(candidate, tree));
  assert.ok(version !== undefined, `${request.target_path} shows no version of ${tag.reference}`);
  return version;
}

function isSame(one: Shown, other: Shown): boolean {
  const paths = Object.keys(one);
  return paths.length === Object.keys(other).length && paths.every(path => one[path] === other[path]);
}
