import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { noImages } from '../../test/support/node/image-mounts.ts';
import { podRequest } from '../../test/support/node/pod-request.ts';
import type { VolumeEvent } from '../ports/events.ts';
import type { PublishRequest } from '../ports/request.ts';
import { DeadlineNear } from '../util/deadline-near.ts';
import { ArtifactError } from '../util/error.ts';
import { createKeyedMutex } from '../util/mutex.ts';
import { createFailingVolumes } from './failing-volumes.ts';
import { createPodPublishing } from './pod-publishing.ts';

const request: PublishRequest = { ...podRequest, pod: { namespace: 'shop', name: 'web-0', uid: 'u' } };

type World = Parameters<typeof createPodPublishing>[0];

/** A node where no volume is mounted yet. */
const openWorld = (pull: World['pull']['pull']): World => ({
  viewTurns: createKeyedMutex(),
  onDemand: { again() {}, async ended() {} },
  verifyWritable() {},
  failing: createFailingVolumes(),
  statusOf: async record => ({ ...record, mounted: true }),
  pull: { list: () => [], stop: async () => undefined, pull },
  volumes: {
    find: async () => undefined,
    put: async () => assert.fail('nothing is mounted'),
    remove: async () => undefined,
    listBrief: async () => [],
  },
  names: { touch: async () => undefined },
  views: { find: async () => undefined, touch: async () => undefined, distrust() {} },
  images: noImages,
  mounter: {
    state: async () => ({ kind: 'absent' }),
    mount: async () => assert.fail('nothing is mounted'),
    unmount: async () => undefined,
    unmountView: async () => undefined,
    list: async () => [],
  },
});

/** The first call for a volume whose pull never ends. `pulling` is the signal of the pull, as soon as it began. */
async function openCall(context: TestContext, withEvents: boolean) {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const began = Promise.withResolvers<AbortSignal>();
  const sent: VolumeEvent[] = [];
  const world = openWorld(
    (_request, _onProgress, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        began.resolve(signal);
      }),
  );
  const events = withEvents ? { send: (event: VolumeEvent) => void sent.push(event) } : undefined;
  const { publish } = createPodPublishing(world, events);
  const call = new AbortController();
  const answer = publish(request, call.signal);
  answer.catch(() => {}); // it is awaited later
  const pulling = await Promise.race([began.promise, answer.then(() => assert.fail('it was published'))]);
  const pass = (ms: number): void => context.mock.timers.tick(ms);
  return { call, answer, pulling, sent, pass, failing: world.failing };
}

test('without events the first call is answered after 20 seconds, and not before', async context => {
  const { answer, pulling, pass, failing } = await openCall(context, false);
  pass(19_999);
  assert.equal(pulling.aborted, false);
  pass(1);
  assert.ok(pulling.reason instanceof DeadlineNear);
  await assert.rejects(answer, { code: 'busy' });
  assert.deepEqual(failing.list(), []);
});

test('with events the first call waits as long as its deadline allows, and an event says what it waits for', async context => {
  const { call, answer, pulling, sent, pass } = await openCall(context, true);
  pass(20_000);
  assert.deepEqual(
    sent.map(({ pod, type, reason }) => ({ pod, type, reason })),
    [{ pod: request.pod, type: 'Normal', reason: 'Pulling' }],
  );
  pass(600_000);
  assert.equal(pulling.aborted, false);
  call.abort(new DeadlineNear('the deadline of the call'));
  await assert.rejects(answer, { code: 'busy' });
});

const never = new AbortController().signal;
const target = { path: request.targetPath, anywhere: false };

/** How a pull ends, and how often its volume has failed then. */
const endings: readonly (readonly [string, ArtifactError, Partial<PublishRequest>, readonly string[]])[] = [
  ['a failure', new ArtifactError('not-found', 'no such tag'), {}, ['not-found']],
  ['a pull that was cancelled', new ArtifactError('cancelled', 'pull --cancel'), {}, ['cancelled']],
  ['a pull under way', new ArtifactError('busy', 'pulled 3 of 7 GiB'), {}, []],
  ['a failure of a command', new ArtifactError('not-found', 'no such tag'), { anywhere: true }, []],
];

for (const withEvents of [false, true]) {
  for (const [what, error, changes, codes] of endings) {
    test(`${what} ${codes.length === 0 ? 'is not listed' : 'is listed'}, ${withEvents ? 'with' : 'without'} events`, async () => {
      const world = openWorld(async () => {
        throw error;
      });
      const { publish } = createPodPublishing(world, withEvents ? { send() {} } : undefined);
      await assert.rejects(publish({ ...request, ...changes }, never), error);
      assert.deepEqual(
        world.failing.list().map(({ code }) => code),
        codes,
      );
    });
  }
}

test('a call whose caller left has not failed', async () => {
  const world = openWorld(async (_request, _onProgress, signal) => {
    throw signal.reason as Error;
  });
  const { publish } = createPodPublishing(world, undefined);
  await assert.rejects(publish(request, AbortSignal.abort(new Error('gone'))), { code: 'cancelled' });
  assert.deepEqual(world.failing.list(), []);
});

test('a request that is wrong by itself is listed, until the volume is unpublished', async () => {
  const world = openWorld(async () => assert.fail('it is not pulled'));
  const { refused, unpublish } = createPodPublishing(world, undefined);
  refused(request, new ArtifactError('invalid', 'no volume attribute "x"'));
  assert.deepEqual(
    world.failing.list().map(({ targetPath, code }) => [targetPath, code]),
    [[request.targetPath, 'invalid']],
  );
  await unpublish(target, never);
  assert.deepEqual(world.failing.list(), []);
});
