import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { DeadlineNear } from '../../src/util/deadline-near.ts';
import { ArtifactError } from '../../src/util/error.ts';
import {
  aborted,
  answerOf,
  failureOf,
  publishRequest,
  startEdge,
  until,
  volume,
} from '../support/node/csi-edge.ts';

test('a signal aborts with DeadlineNear at three quarters of a short deadline', async () => {
  const reasons: unknown[] = [];
  await using edge = await startEdge({
    publishing: {
      publish: async (_, signal) => {
        reasons.push(await aborted(signal));
        throw new ArtifactError('busy', 'pulled 3.1 of 7.2 GiB, 2 of 5 layers');
      },
    },
  });
  const started = Date.now();
  const deadline = { deadline: started + 800 };
  const failure = await failureOf(done => edge.node.NodePublishVolume(publishRequest, deadline, done));
  const took = Date.now() - started;
  assert.ok(reasons[0] instanceof DeadlineNear);
  assert.deepEqual(failure, {
    code: 'ABORTED',
    text: 'pulled 3.1 of 7.2 GiB, 2 of 5 layers',
    details: [],
  });
  assert.ok(took >= 500 && took < 800, `answered after ${took} ms`);
});

test('work that only passes the signal on returns ABORTED near the deadline', async () => {
  await using edge = await startEdge({
    artifacts: {
      prune: async signal => {
        throw await aborted(signal);
      },
    },
  });
  const deadline = { deadline: Date.now() + 400 };
  const { code, text } = await failureOf(done => edge.artifacts.Prune({}, deadline, done));
  assert.equal(code, 'ABORTED');
  assert.match(text, /deadline .* call again/);
});

test('a cancelled call aborts the signal with an AbortError', async () => {
  const reason = Promise.withResolvers<unknown>();
  await using edge = await startEdge({
    publishing: {
      publish: async (_, signal) => {
        reason.resolve(await aborted(signal));
        throw new ArtifactError('cancelled', 'cancelled');
      },
    },
  });
  const failure = failureOf(done => {
    const call = edge.node.NodePublishVolume(publishRequest, done);
    setTimeout(() => call.cancel(), 50);
  });
  assert.equal((await failure).code, 'CANCELLED');
  const seen = await reason.promise;
  assert.ok(seen instanceof Error);
  assert.equal(seen.name, 'AbortError');
  await until(() => edge.observed.some(({ code }) => status[code] === 'CANCELLED'));
});

test('a signal does not abort after an ordinary answer, although gRPC reports every stream as cancelled then', async () => {
  const signals: AbortSignal[] = [];
  await using edge = await startEdge({
    publishing: {
      publish: async (_, signal) => {
        signals.push(signal);
        return volume;
      },
    },
  });
  await answerOf(done => edge.node.NodePublishVolume(publishRequest, done));
  await new Promise(resolve => setTimeout(resolve, 50));
  assert.equal(signals[0]?.aborted, false);
});

test('whatever a handler throws, the caller gets a status and the server continues', async () => {
  const things: readonly unknown[] = [
    new TypeError('a bug'),
    'a text',
    undefined,
    null,
    { code: 5, details: 'not a status of ours' },
    new ArtifactError('unmountable', 'the path "\udcff" is no name'),
    new ArtifactError('internal', 'long '.repeat(100_000)),
  ];
  let next = 0;
  await using edge = await startEdge({
    publishing: {
      publish: async () => {
        throw things[next++] as Error;
      },
      stats: () => {
        throw new Error('before the first await');
      },
    },
  });
  const codes: string[] = [];
  for (const _ of things) {
    const { code, text } = await failureOf(done => edge.node.NodePublishVolume(publishRequest, done));
    codes.push(code);
    assert.ok(text.length > 0 && text.length <= 4096);
  }
  assert.deepEqual(codes, [...Array<string>(5).fill('INTERNAL'), 'FAILED_PRECONDITION', 'INTERNAL']);
  const stats = { volume_id: 'v', volume_path: '/v' };
  const thrown = await failureOf(done => edge.node.NodeGetVolumeStats(stats, done));
  assert.deepEqual([thrown.code, thrown.text], ['INTERNAL', 'before the first await']);
  await answerOf(done => edge.identity.Probe({}, done));
});

test('an observer that throws affects no call', async () => {
  await using edge = await startEdge({
    publishing: { publish: async () => volume },
    observe: () => {
      throw new Error('no such label');
    },
  });
  await answerOf(done => edge.node.NodePublishVolume(publishRequest, done));
  await answerOf(done => edge.node.NodePublishVolume(publishRequest, done));
  await until(() => edge.text().includes('a call could not be logged'));
});

test('an internal error is logged with its stack, other errors without', async () => {
  await using edge = await startEdge({
    publishing: {
      publish: async () => {
        throw new RangeError('a bug');
      },
    },
  });
  await failureOf(done => edge.node.NodePublishVolume(publishRequest, done));
  await failureOf(done => edge.node.NodePublishVolume({ ...publishRequest, volume_id: '' }, done));
  await until(() => edge.observed.length === 2);
  const [bug, refusal] = edge.lines().filter(({ method }) => method !== undefined);
  assert.match(String(bug?.['stack']), /RangeError: a bug\n +at /);
  assert.equal(bug?.['level'], 50);
  assert.deepEqual([refusal?.['stack'], refusal?.['level']], [undefined, 40]);
});
