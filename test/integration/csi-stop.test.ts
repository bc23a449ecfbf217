import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { ArtifactError } from '../../src/util/error.ts';
import {
  aborted,
  answerOf,
  digest,
  failureOf,
  publishRequest,
  startEdge,
  volume,
} from '../support/node/csi-edge.ts';

const again =
  'the daemon is stopping; kubelet calls again by itself; run a command again when the daemon is back';

test('a stop without calls is quick, removes the socket, and may be repeated', async () => {
  await using edge = await startEdge();
  await answerOf(done => edge.identity.Probe({}, done));
  const started = Date.now();
  await Promise.all([edge.serving.stop(), edge.serving.stop()]);
  await edge.serving.stop();
  assert.ok(Date.now() - started < 1500);
  assert.equal(existsSync(edge.socket), false);
});

test('a stop lets a short call finish and refuses new ones', async () => {
  const entered = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  await using edge = await startEdge({
    publishing: {
      publish: async (_, signal) => {
        entered.resolve();
        await finish.promise;
        assert.equal(signal.aborted, false);
        return volume;
      },
    },
  });
  const answer = answerOf(done => edge.node.NodePublishVolume(publishRequest, done));
  await entered.promise;
  const stopped = edge.serving.stop();
  assert.deepEqual(await failureOf(done => edge.node.NodePublishVolume(publishRequest, done)), {
    code: 'UNAVAILABLE',
    text: again,
    details: [],
  });
  assert.equal((await failureOf(done => edge.identity.Probe({}, done))).code, 'UNAVAILABLE');
  finish.resolve();
  assert.deepEqual(await answer, {});
  await stopped;
  assert.equal(existsSync(edge.socket), false);
});

test('a stop lets a large answer arrive', async () => {
  const entered = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  const problem = 'x'.repeat(8 * 1024 * 1024);
  await using edge = await startEdge({
    artifacts: {
      list: async () => {
        entered.resolve();
        await finish.promise;
        return [
          {
            reference: problem,
            digest,
            artifactType: '',
            bytes: 0,
            usedAt: 0,
            verifiedAt: 0,
            pinned: false,
            volumes: 0,
          },
        ];
      },
    },
  });
  const answer = answerOf<{ artifacts: readonly { reference: string }[] }>(done =>
    edge.artifacts.List({}, done),
  );
  await entered.promise;
  const stopped = edge.serving.stop();
  finish.resolve();
  assert.equal((await answer).artifacts[0]?.reference.length, problem.length);
  await stopped;
});

test('a stop answers UNAVAILABLE to waiting publishes, streams and endless calls', async () => {
  const entered = Promise.withResolvers<void>();
  const listing = Promise.withResolvers<void>();
  const reasons: unknown[] = [];
  await using edge = await startEdge({
    publishing: {
      publish: async (_, signal) => {
        reasons.push(await aborted(signal));
        throw new ArtifactError('cancelled', 'the pull goes on without this caller');
      },
    },
    artifacts: {
      load: async tar => {
        for await (const _ of tar) entered.resolve();
        return [];
      },
      list: () => {
        listing.resolve();
        return new Promise(() => {});
      },
    },
  });
  const publish = failureOf(done => edge.node.NodePublishVolume(publishRequest, done));
  const load = failureOf(done => {
    const call = edge.artifacts.Load(done);
    call.write({ chunk: Buffer.from('x') });
  });
  const stuck = failureOf(done => edge.artifacts.List({}, done));
  const watch = edge.health.Watch({ service: '' });
  const watched = Promise.withResolvers<Error>();
  watch.on('data', () => {}).on('error', watched.resolve);
  await Promise.all([entered.promise, listing.promise]);

  const started = Date.now();
  await edge.serving.stop();
  assert.ok(Date.now() - started < 8000);
  assert.deepEqual(await publish, { code: 'UNAVAILABLE', text: again, details: [] });
  assert.deepEqual(await load, { code: 'UNAVAILABLE', text: again, details: [] });
  assert.match((await watched.promise).message, /UNAVAILABLE: the daemon is stopping/);
  assert.match((await stuck).code, /UNAVAILABLE|CANCELLED/);
  assert.ok(reasons[0] instanceof ArtifactError);
  assert.equal(existsSync(edge.socket), false);
});
