import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { noImages } from '../../test/support/node/image-mounts.ts';
import { podRequest } from '../../test/support/node/pod-request.ts';
import type { VolumeEvent } from '../ports/events.ts';
import type { PublishRequest } from '../ports/request.ts';
import { DeadlineNear } from '../util/deadline-near.ts';
import { createKeyedMutex } from '../util/mutex.ts';
import { createPodPublishing } from './pod-publishing.ts';

const request: PublishRequest = { ...podRequest, pod: { namespace: 'shop', name: 'web-0', uid: 'u' } };

/** The first call for a volume whose pull never ends. `pulling` is the signal of the pull, as soon as it began. */
async function openCall(context: TestContext, withEvents: boolean) {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const began = Promise.withResolvers<AbortSignal>();
  const sent: VolumeEvent[] = [];
  const { publish } = createPodPublishing(
    {
      viewTurns: createKeyedMutex(),
      onDemand: { again() {}, async ended() {} },
      verifyWritable() {},
      statusOf: async record => ({ ...record, mounted: true }),
      pull: {
        list: () => [],
        stop: async () => undefined,
        pull: (_request, _onProgress, signal) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
            began.resolve(signal);
          }),
      },
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
    },
    withEvents ? { send: event => void sent.push(event) } : undefined,
  );
  const call = new AbortController();
  const answer = publish(request, call.signal);
  answer.catch(() => {}); // it is awaited later
  const pulling = await Promise.race([began.promise, answer.then(() => assert.fail('it was published'))]);
  return { call, answer, pulling, sent, pass: (ms: number) => context.mock.timers.tick(ms) };
}

test('without events the first call is answered after 20 seconds, and not before', async context => {
  const { answer, pulling, pass } = await openCall(context, false);
  pass(19_999);
  assert.equal(pulling.aborted, false);
  pass(1);
  assert.ok(pulling.reason instanceof DeadlineNear);
  await assert.rejects(answer, { code: 'busy' });
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
