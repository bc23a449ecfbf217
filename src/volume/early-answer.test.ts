import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Publishing } from '../ports/publishing.ts';
import type { PublishRequest } from '../ports/request.ts';
import { DeadlineNear } from '../util/deadline-near.ts';
import { answerEarly } from './early-answer.ts';

const requestOf = (name: string, anywhere = false): PublishRequest => ({
  volumeId: name,
  targetPath: `/kubelet/pods/${name}/volumes/kubernetes.io~csi/v/mount`,
  anywhere,
  mountFlags: [],
  fingerprint: 'f',
  reference: 'model',
  selection: { unpack: 'auto', include: [], exclude: [] },
  secrets: {},
  caller: anywhere ? 'administrator' : 'pod',
});

/** A publish that waits for its signal. */
const endless: Publishing = {
  publish: (_, signal) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    }),
  unpublish: async () => undefined,
  stats: () => assert.fail('not part of a publish'),
};

/** Publishes with a call that leaves after 200 ms. Answers whether the volume was answered before. */
async function isAnsweredEarly({ publish }: Publishing, request: PublishRequest): Promise<boolean> {
  const call = new AbortController();
  const timer = setTimeout(() => call.abort(new Error('the caller left')), 200);
  const thrown: unknown = await publish(request, call.signal).then(
    () => undefined,
    (error: unknown) => error,
  );
  clearTimeout(timer);
  return thrown instanceof DeadlineNear;
}

test('only the first call for a volume is answered early, until the volume is unpublished', async () => {
  const publishing = answerEarly(endless, 20);
  const [one, other] = [requestOf('one'), requestOf('other')];
  assert.equal(await isAnsweredEarly(publishing, one), true);
  assert.equal(await isAnsweredEarly(publishing, one), false);
  assert.equal(await isAnsweredEarly(publishing, other), true);
  await publishing.unpublish({ path: one.targetPath, anywhere: false }, new AbortController().signal);
  assert.equal(await isAnsweredEarly(publishing, one), true);
});

test('a command is not answered early', async () => {
  assert.equal(await isAnsweredEarly(answerEarly(endless, 20), requestOf('one', true)), false);
});

test('a caller that leaves before the first answer is answered early when it returns', async () => {
  const publishing = answerEarly(endless, 50);
  await assert.rejects(publishing.publish(requestOf('one'), AbortSignal.timeout(10)), {
    name: 'TimeoutError',
  });
  assert.equal(await isAnsweredEarly(publishing, requestOf('one')), true);
});

test('of more volumes than a node can have, the oldest are forgotten', async () => {
  const publishing = answerEarly(endless, 1);
  const requests = Array.from({ length: 1_001 }, (_, n) => requestOf(`pod-${n}`));
  await Promise.all(requests.map(request => isAnsweredEarly(publishing, request)));
  const last = requests[1_000] ?? assert.fail();
  assert.equal(await isAnsweredEarly(publishing, last), false);
  assert.equal(await isAnsweredEarly(publishing, requestOf('pod-0')), true);
});
