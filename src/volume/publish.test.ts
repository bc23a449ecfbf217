import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noImages } from '../../test/support/node/image-mounts.ts';
import { podRequest } from '../../test/support/node/pod-request.ts';
import { parseDigest } from '../oci/digest.ts';
import type { TargetState } from '../ports/mounter.ts';
import type { Origin } from '../ports/publishing.ts';
import type { VolumeRecord } from '../ports/records.ts';
import type { PublishRequest } from '../ports/request.ts';
import type { View } from '../ports/store.ts';
import type { Progress } from '../ports/usecases.ts';
import { DeadlineNear } from '../util/deadline-near.ts';
import { ArtifactError } from '../util/error.ts';
import { createKeyedMutex } from '../util/mutex.ts';
import { createFailingVolumes } from './failing-volumes.ts';
import { createPublishing } from './publish.ts';
import { resolving } from './pull/progress.ts';
import type { Pull } from './pull/pull.ts';

const never = new AbortController().signal;
const digest = parseDigest(`sha256:${'d'.repeat(64)}`);
const request = podRequest;
const path = request.targetPath;

const view: View = {
  key: 'k',
  manifest: digest,
  reference: 'r/model:latest',
  blobs: [],
  layers: [],
  bytes: 7,
  inodes: 3,
  path: '/state/views/k',
  usedAt: 0,
};

const origin: Origin = { pulled: 30, resumed: 4, cached: 6, pulledLayers: 3, cachedLayers: 1 };

type PullFunction = Pull['pull'];

function createWorld(pull?: PullFunction, pulls: ReturnType<Pull['list']> = []) {
  const log: string[] = [];
  const records = new Map<string, VolumeRecord>();
  const asked: Pick<PublishRequest, 'reference' | 'pinned' | 'pullPolicy'>[] = [];
  const world = {
    log,
    records,
    asked,
    state: { kind: 'absent' } as TargetState | ArtifactError,
    failMount: false,
    failImage: false,
    held: 0,
    /** How many lookups do not find the view. */
    gone: 0,
    failing: createFailingVolumes(),
  };
  const publishing = createPublishing({
    viewTurns: createKeyedMutex(),
    onDemand: { again() {}, async ended() {} },
    verifyWritable() {},
    statusOf: async record => ({ ...record, mounted: true }),
    failing: world.failing,
    pull: {
      list: () => pulls,
      stop: async () => undefined,
      async pull(asking, onProgress, signal) {
        const { reference: wanted, pinned, pullPolicy } = asking;
        asked.push({
          reference: wanted,
          ...(pinned && { pinned }),
          ...(pullPolicy && { pullPolicy }),
        });
        log.push('pull');
        if (pull !== undefined) return pull(asking, onProgress, signal);
        world.held++;
        const reference = { registry: 'r', path: 'model', tag: 'latest' };
        const descriptor = { digest, size: 1, mediaType: '', annotations: {} };
        return {
          reference,
          resolution: { reference, descriptor },
          view,
          origin,
          holds: [digest],
          [Symbol.dispose]: () => void world.held--,
        };
      },
    },
    volumes: {
      find: async target => records.get(target),
      put: async record => {
        assert.equal(world.held, 1, 'the view is held until its record is on disk');
        log.push('record');
        records.set(record.targetPath, record);
      },
      remove: async target => {
        log.push('forget');
        records.delete(target);
      },
      listBrief: async () => [...records.values()],
    },
    names: { touch: async reference => void log.push(`touch ${reference}`) },
    views: {
      find: async key => (key === view.key && world.gone-- <= 0 ? view : undefined),
      touch: async () => void log.push('touch'),
      distrust: () => void log.push('distrust'),
    },
    images: {
      ...noImages,
      raise() {
        if (world.failImage) throw new ArtifactError('internal', 'EUCLEAN');
      },
      tidy() {
        log.push('tidy');
        return [];
      },
    },
    mounter: {
      state: async () => {
        if (world.state instanceof ArtifactError) throw world.state;
        return world.state;
      },
      mount: async () => {
        log.push('mount');
        if (world.failMount) throw new ArtifactError('internal', 'EIO');
        world.state = { kind: 'mounted', shows: 'view', readOnly: true };
      },
      unmount: async ({ keepsDirectory }) => {
        log.push(keepsDirectory === true ? 'unmount from the directory' : 'unmount');
        world.state = { kind: 'absent' };
      },
      unmountView: async () => {
        log.push('unmount a view');
        world.state = { kind: 'absent' };
      },
      list: async () => [],
    },
  });
  return { ...publishing, world };
}

const code = (expected: string, text: RegExp) => (thrown: unknown) =>
  thrown instanceof ArtifactError && thrown.code === expected && text.test(thrown.message);

test('the record is on disk before the mount', async () => {
  const { publish, world } = createWorld();
  const record = await publish(request, never);
  assert.deepEqual(world.log, ['pull', 'record', 'mount']);
  assert.deepEqual(
    [record.digest, record.resolved, record.bytes, record.inodes],
    [digest, 'r/model:latest', 7, 3],
  );
  assert.equal(world.held, 0);
  assert.deepEqual(world.records.get(path)?.holds, [digest], 'all that the pull came by');
});

test('a repeated request does nothing and sends no requests', async () => {
  const { publish, world } = createWorld();
  const { origin: came, ...first } = await publish(request, never);
  assert.deepEqual(came, origin);
  world.log.length = 0;
  assert.deepEqual(await publish(request, never), first);
  assert.deepEqual(world.log, []);
});

test('another request at a published target is refused and disturbs nothing', async () => {
  const { publish, world } = createWorld();
  await publish(request, never);
  world.log.length = 0;
  await assert.rejects(
    publish({ ...request, fingerprint: 'g' }, never),
    code('exists', /csi-1, with other parameters; delete its pod first$/),
  );
  assert.deepEqual(world.log, []);
});

test('a failed mount leaves no record', async () => {
  const { publish, world } = createWorld();
  world.failMount = true;
  await assert.rejects(publish(request, never), code('internal', /EIO/));
  assert.deepEqual(world.log, ['pull', 'record', 'mount', 'tidy', 'forget']);
  assert.equal(world.held, 0);
});

test('a volume counts as failing until it is mounted, or found mounted', async () => {
  const { publish, world } = createWorld();
  const failures = (): readonly number[] => world.failing.list().map(volume => volume.failures);
  world.failMount = true;
  for (const counted of [1, 2]) {
    await assert.rejects(publish(request, never), code('internal', /EIO/));
    assert.deepEqual(failures(), [counted]);
  }
  world.failMount = false;
  await publish(request, never);
  assert.deepEqual(failures(), []);
  await assert.rejects(publish({ ...request, fingerprint: 'g' }, never), code('exists', /other parameters/));
  assert.deepEqual(failures(), [1]);
  await publish(request, never);
  assert.deepEqual(failures(), []);
});

test('an image that cannot be mounted is compared by the next call', async () => {
  const { publish, world } = createWorld();
  world.failImage = true;
  await assert.rejects(publish(request, never), code('internal', /EUCLEAN/));
  assert.deepEqual(world.log, ['pull', 'record', 'distrust', 'tidy', 'forget']);
});

test('after a reboot the same request gets the digest it had, from the cache if it is there', async () => {
  const { publish, world } = createWorld();
  await publish(request, never);
  world.state = { kind: 'empty' };
  await publish({ ...request, pullPolicy: 'Always' }, never);
  assert.deepEqual(world.asked[1], {
    reference: 'r/model:latest',
    pinned: digest,
    pullPolicy: 'IfNotPresent',
  });
  world.state = { kind: 'empty' };
  await publish({ ...request, pullPolicy: 'Never' }, never);
  assert.equal(world.asked[2]?.pullPolicy, 'Never');
});

test('after a reboot another request at the target starts anew', async () => {
  const { publish, world } = createWorld();
  await publish(request, never);
  world.state = { kind: 'empty' };
  await publish({ ...request, fingerprint: 'g' }, never);
  assert.equal(world.asked[1]?.reference, 'model');
  assert.equal(world.records.get(path)?.fingerprint, 'g');
});

test('a mount that fails after a reboot leaves the digest remembered', async () => {
  const { publish, world } = createWorld();
  await publish(request, never);
  const before = world.records.get(path);
  world.state = { kind: 'empty' };
  world.failMount = true;
  await assert.rejects(publish(request, never), code('internal', /EIO/));
  assert.deepEqual(world.records.get(path), before);
});

test('a view that is mounted without a record gets its record, and no second mount', async () => {
  const { publish, world } = createWorld();
  world.state = { kind: 'mounted', shows: 'view', readOnly: true };
  await publish(request, never);
  assert.deepEqual(world.log, ['pull', 'record']);
});

for (const [name, state] of [
  ['a dead mount', { kind: 'mounted', shows: 'dead', readOnly: true }],
  ['a writable mount of the view', { kind: 'mounted', shows: 'view', readOnly: false }],
] as const) {
  test(`${name} at the target is taken away first`, async () => {
    const { publish, world } = createWorld();
    world.state = state;
    await publish(request, never);
    assert.deepEqual(world.log, ['pull', 'unmount', 'record', 'mount']);
  });
}

for (const [name, state, text, log] of [
  [
    'a foreign mount',
    { kind: 'mounted', shows: 'other', readOnly: false },
    /has a mount that is not of this driver; on the node: findmnt \S+, then umount \S+$/,
    ['pull'],
  ],
  ['a directory with files', { kind: 'occupied', entry: 'x' }, /contains "x"/, []],
] as const) {
  test(`${name} at the target is left alone`, async () => {
    const { publish, world } = createWorld();
    world.state = state;
    await assert.rejects(publish(request, never), code('exists', text));
    assert.deepEqual(world.log, log);
    assert.equal(world.records.size, 0);
  });
}

test('an invalid target is refused before any download', async () => {
  const { publish, world } = createWorld();
  world.state = new ArtifactError('invalid', 'not below the kubelet directory');
  await assert.rejects(publish(request, never), code('invalid', /not below/));
  assert.deepEqual(world.log, []);
});

const waiting: PullFunction = (_request, onProgress, signal) => {
  const progress: Progress = {
    phase: 'download',
    bytes: 3.1 * 2 ** 30,
    totalBytes: 7.2 * 2 ** 30,
    layers: 2,
    totalLayers: 5,
    bytesPerSecond: 0,
  };
  onProgress(progress);
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
};

test('near the deadline the caller gets the progress of the pull', async () => {
  const { reference, targetPath } = request;
  const wanters = [{ reference, targetPath, kind: 'pod' }] as const;
  const { publish, world } = createWorld(waiting, [
    { since: 0, latest: undefined, wanters, cancel: async () => {} },
  ]);
  const controller = new AbortController();
  const call = publish(request, controller.signal);
  setImmediate(() => controller.abort(new DeadlineNear()));
  await assert.rejects(call, code('busy', /pulled 3\.1 GiB of 7\.2 GiB, 2 of 5 layers; it goes on/));
  assert.deepEqual(world.failing.list(), []);
});

for (const [what, waits, isFailing] of [
  ['waits for a registry that fails', 'retrying in 15 s (8 of 9): r cannot be reached', true],
  ['has no answer yet', undefined, false],
] as const) {
  test(`a pull that ${what} has not begun, and its volume ${isFailing ? 'fails' : 'does not fail'}`, async () => {
    const { publish, world } = createWorld(async (asking, onProgress, signal) => {
      onProgress({ ...resolving, ...(waits && { waits }) });
      return waiting(asking, () => {}, signal);
    });
    const controller = new AbortController();
    const call = publish(request, controller.signal);
    setImmediate(() => controller.abort(new DeadlineNear()));
    const why = waits ?? 'the registry has not answered yet';
    const message = `the pull of ${request.reference} has not begun: ${why}; the next call asks again`;
    await assert.rejects(call, { code: 'busy', message });
    const failing = world.failing.list().map(volume => [volume.code, volume.message]);
    assert.deepEqual(failing, isFailing ? [['busy', message]] : []);
  });
}

test('nothing is mounted for a caller that leaves', async () => {
  const { publish, world } = createWorld(waiting);
  const controller = new AbortController();
  const call = publish(request, controller.signal);
  setImmediate(() => controller.abort());
  await assert.rejects(call, code('cancelled', /./));
  assert.deepEqual(world.log, ['pull']);
});

test('a second call for a busy target is told to retry', async () => {
  const { publish, unpublish } = createWorld(waiting);
  const controller = new AbortController();
  const first = publish(request, controller.signal);
  await assert.rejects(
    publish(request, never),
    code('busy', /another call for the volume at .* is still under way/),
  );
  await assert.rejects(
    unpublish({ path, anywhere: false }, never),
    code('busy', /another call for the volume at .* is still under way/),
  );
  controller.abort();
  await assert.rejects(first);
});

test('unpublish takes the mount, then the record, and can be repeated', async () => {
  const { publish, unpublish, world } = createWorld();
  await publish(request, never);
  world.log.length = 0;
  await unpublish({ path, anywhere: false }, never);
  assert.deepEqual(world.log, ['unmount', 'forget', 'touch', 'touch r/model:latest']);
  await unpublish({ path, anywhere: false }, never);
  assert.equal(world.records.size, 0);
});

test('stats know the volume by id and path or by id alone, and no other', async () => {
  const { publish, stats } = createWorld();
  await publish(request, never);
  const { bytes, inodes, mounted } = await stats('csi-1', path, never);
  assert.deepEqual([bytes, inodes, mounted], [7, 3, true]);
  await assert.rejects(stats('csi-2', path, never), code('not-found', /csi-2/));
  await assert.rejects(stats('csi-1', '/elsewhere', never), code('not-found', /elsewhere/));
  assert.equal((await stats('csi-1', undefined, never)).targetPath, path);
  await assert.rejects(stats('csi-2', undefined, never), code('not-found', /csi-2 is not published on/));
});

test('a directory that a person mounts on outlives the volume if it was there before, also after a reboot', async () => {
  const { publish, unpublish, world } = createWorld();
  const own = { ...request, anywhere: true };
  world.state = { kind: 'empty' };
  await publish(own, never);
  world.state = { kind: 'empty' };
  await publish(own, never);
  await unpublish({ path, anywhere: true }, never);
  assert.equal(
    world.log.findLast(step => step.startsWith('unmount')),
    'unmount from the directory',
  );

  world.state = { kind: 'absent' };
  await publish(own, never);
  world.state = { kind: 'empty' };
  await publish(own, never);
  await unpublish({ path, anywhere: true }, never);
  assert.equal(
    world.log.findLast(step => step.startsWith('unmount')),
    'unmount',
  );

  world.state = { kind: 'empty' };
  await publish(request, never);
  await unpublish({ path, anywhere: false }, never);
  assert.equal(
    world.log.findLast(step => step.startsWith('unmount')),
    'unmount',
    'of a pod nothing may be left',
  );
});

test('a view that was taken out of use before it is mounted is built anew, and nothing else is mounted', async () => {
  const { publish, world } = createWorld();
  world.gone = 1;
  await publish(request, never);
  assert.deepEqual(world.log, ['pull', 'pull', 'record', 'mount']);
  assert.equal(world.held, 0);

  const broken = createWorld();
  broken.world.gone = Number.POSITIVE_INFINITY;
  await assert.rejects(broken.publish(request, never), code('corrupt', /found damaged 3 times/));
  assert.deepEqual(broken.world.log, ['pull', 'pull', 'pull']);
});
