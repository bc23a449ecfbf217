import assert from 'node:assert/strict';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { until } from '../../test/support/node/csi-edge.ts';
import { type EventServer, openEventServer, verifyPace } from '../../test/support/node/event-server.ts';
import { token } from '../../test/support/node/kube-api.ts';
import type { EventOutcome, VolumeEvent, VolumeEvents } from '../ports/events.ts';
import { findCluster } from './cluster.ts';
import { openEventApi } from './event-api.ts';
import { openEventSender, type SenderLimits } from './event-sender.ts';

/** Quick, so that a test takes no seconds. */
const quick: SenderLimits = {
  spacingMs: 1,
  maxWaiting: 1_000,
  backOffMs: [20, 100],
  refusalMs: 60_000,
  longestWaitMs: 60_000,
};

const eventOf = (pod: string, message = 'Pulled m', more: Partial<VolumeEvent> = {}): VolumeEvent => ({
  pod: { namespace: 'shop', name: pod, uid: `uid-of-${pod}` },
  targetPath: `/var/lib/kubelet/pods/uid-of-${pod}/volumes/kubernetes.io~csi/model/mount`,
  type: 'Normal',
  reason: 'Pulled',
  kind: '',
  message,
  ...more,
});

const forbidden = (namespace: string) =>
  ({
    kind: 'status',
    code: 403,
    message: `events is forbidden: User "system:serviceaccount:a:b" cannot create resource "events" in API group "" in the namespace "${namespace}"`,
  }) as const;

let server: EventServer;
beforeEach(async () => {
  server = await openEventServer();
  process.env['KUBERNETES_SERVICE_HOST'] = server.host;
  process.env['KUBERNETES_SERVICE_PORT'] = String(server.port);
});
afterEach(async () => {
  delete process.env['KUBERNETES_SERVICE_HOST'];
  delete process.env['KUBERNETES_SERVICE_PORT'];
  await server[Symbol.asyncDispose]();
});

type TestSender = VolumeEvents &
  AsyncDisposable & {
    readonly outcomes: EventOutcome[];
    readonly log: string[];
  };

async function openSender(limits: SenderLimits = quick): Promise<TestSender> {
  const outcomes: EventOutcome[] = [];
  const log: string[] = [];
  const sender = openEventSender(
    {
      api: openEventApi(await findCluster('--events', () => {}, server.account)),
      host: 'node-1',
      count: outcome => outcomes.push(outcome),
      warn: text => log.push(text),
    },
    limits,
  );
  return { ...sender, outcomes, log };
}

const countOf = ({ outcomes }: TestSender, wanted: EventOutcome): number =>
  outcomes.filter(outcome => outcome === wanted).length;

describe('events of pods', () => {
  test('are core/v1 events of the pod, by this driver on this node', async () => {
    await using sender = await openSender();
    sender.send(eventOf('web-0', 'Pulled m in 4 s'));
    await until(() => countOf(sender, 'sent') === 1);
    const [event, ...others] = server.events();
    assert.deepEqual(others, []);
    assert.deepEqual(event?.involvedObject, {
      apiVersion: 'v1',
      kind: 'Pod',
      namespace: 'shop',
      name: 'web-0',
      uid: 'uid-of-web-0',
    });
    assert.deepEqual(event.source, { component: 'oci-artifact-csi', host: 'node-1' });
    assert.deepEqual(
      [event.type, event.reason, event.message, event.count],
      ['Normal', 'Pulled', 'Pulled m in 4 s', 1],
    );
    assert.match(event.metadata.name, /^web-0\.[0-9a-f]{16}$/);
    assert.match(event.firstTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  });

  test('that repeat are one event with a count and the latest message', async () => {
    await using sender = await openSender();
    for (const [index, message] of ['one', 'two', 'three'].entries()) {
      sender.send(eventOf('web-0', message));
      await until(() => countOf(sender, 'sent') === index + 1);
    }
    assert.deepEqual(
      server.events().map(({ count, message }) => [count, message]),
      [[3, 'three']],
    );
    assert.deepEqual(
      server.asked.map(({ method }) => method),
      ['POST', 'PATCH', 'PATCH'],
    );
  });

  test('of other pods, volumes, reasons and kinds of failures are events of their own', async () => {
    await using sender = await openSender();
    const target = { targetPath: '/kubelet/pods/uid-of-a/volumes/kubernetes.io~csi/other/mount' };
    const events = [
      eventOf('a'),
      eventOf('b'),
      eventOf('a', '', target),
      eventOf('a', '', { reason: 'Pulling' }),
      eventOf('a', '', { kind: 'not-found' }),
    ];
    for (const event of events) sender.send(event);
    await until(() => countOf(sender, 'sent') === events.length);
    assert.equal(server.events().length, events.length);
  });

  test('that an earlier daemon has sent are counted further, and not sent again', async () => {
    for (const message of ['one', 'two', 'three']) {
      await using sender = await openSender();
      sender.send(eventOf('web-0', message));
      await until(() => countOf(sender, 'sent') === 1);
    }
    await using sender = await openSender();
    sender.send(eventOf('web-0', 'four'));
    await until(() => countOf(sender, 'sent') === 1);
    sender.send(eventOf('web-0', 'five'));
    await until(() => countOf(sender, 'sent') === 2);
    assert.deepEqual(
      server.events().map(({ count, message }) => [count, message]),
      [[2, 'five']],
    );
  });

  test('that have expired are created again', async () => {
    await using sender = await openSender();
    sender.send(eventOf('web-0', 'one'));
    await until(() => countOf(sender, 'sent') === 1);
    server.expire(server.events()[0]?.metadata.name ?? '');
    sender.send(eventOf('web-0', 'two'));
    await until(() => countOf(sender, 'sent') === 2);
    assert.deepEqual(
      server.events().map(({ count, message }) => [count, message]),
      [[1, 'two']],
    );
  });

  test('are sent at ten requests a second', async () => {
    await using sender = await openSender({ ...quick, spacingMs: 100 });
    for (let pod = 0; pod < 15; pod++) sender.send(eventOf(`web-${pod}`));
    await until(() => countOf(sender, 'sent') === 15);
    verifyPace(
      server.asked.map(({ at }) => at),
      100,
    );
  });

  test('that repeat while they wait are merged, with the count of all', async () => {
    await using sender = await openSender({ ...quick, spacingMs: 50 });
    sender.send(eventOf('first'));
    for (let n = 1; n <= 20; n++) sender.send(eventOf('web-0', `number ${n}`));
    await until(() => countOf(sender, 'sent') === 2);
    assert.deepEqual(
      server.events().map(({ count, message }) => [count, message]),
      [
        [1, 'Pulled m'],
        [20, 'number 20'],
      ],
    );
    assert.equal(countOf(sender, 'merged'), 19);
  });
});

describe('an API', () => {
  test('that is silent holds nobody up; the oldest events are dropped above a bound, and all are counted', async () => {
    server.fault(() => ({ kind: 'silence' }));
    await using sender = await openSender({ ...quick, maxWaiting: 100 });
    const begin = performance.now();
    for (let pod = 0; pod < 1_000; pod++) sender.send(eventOf(`web-${pod}`));
    assert.ok(performance.now() - begin < 500);
    assert.equal(countOf(sender, 'dropped'), 899, 'one is on its way, and 100 wait');
  });

  test('that fails gets the events later, in one attempt after the other, and it is logged once', async () => {
    let failing = true;
    server.fault(() => (failing ? { kind: 'status', code: 500, message: 'etcd' } : undefined));
    await using sender = await openSender();
    for (let pod = 0; pod < 5; pod++) sender.send(eventOf(`web-${pod}`));
    await until(() => server.asked.length === 3);
    const [first = 0, second = 0, third = 0] = server.asked.map(({ at }) => at);
    assert.ok(second - first > 15 && third - second > 35, `${second - first}, ${third - second} ms`);
    failing = false;
    await until(() => countOf(sender, 'sent') === 5);
    assert.equal(server.events().length, 5);
    assert.equal(sender.log.length, 1);
    assert.match(
      sender.log[0] ?? '',
      /^events of pods wait, because .* answered 500 \(etcd\); .*volumes are not affected$/,
    );
  });

  test('that always fails on one event gets the others, and the log has one line', async () => {
    server.fault(({ path }) => (path.includes('/ill/') ? { kind: 'status', code: 500 } : undefined));
    await using sender = await openSender();
    sender.send(eventOf('x', '', { pod: { namespace: 'ill', name: 'x', uid: 'u' } }));
    for (let pod = 0; pod < 4; pod++) {
      sender.send(eventOf(`web-${pod}`));
      await until(() => countOf(sender, 'sent') === pod + 1);
    }
    assert.equal(sender.log.length, 1);
  });

  test('that fails for longer than events last does not get them', async () => {
    let failing = true;
    server.fault(() => (failing ? { kind: 'status', code: 500 } : undefined));
    await using sender = await openSender({ ...quick, longestWaitMs: 100 });
    sender.send(eventOf('web-0'));
    await until(() => countOf(sender, 'dropped') === 1);
    failing = false;
    sender.send(eventOf('web-1'));
    await until(() => countOf(sender, 'sent') === 1);
    assert.deepEqual(
      server.events().map(({ involvedObject }) => involvedObject.name),
      ['web-1'],
    );
  });

  test('that asks to wait is not asked before', async () => {
    let asked = 0;
    server.fault(() =>
      asked++ === 0 ? { kind: 'status', code: 429, headers: { 'retry-after': '1' } } : undefined,
    );
    await using sender = await openSender();
    sender.send(eventOf('web-0'));
    await until(() => countOf(sender, 'sent') === 1);
    const [first = 0, second = 0] = server.asked.map(({ at }) => at);
    assert.ok(second - first >= 950, `${second - first} ms`);
  });

  test('that is gone and comes back gets the events', async () => {
    const { port } = server;
    await rename(join(server.account, 'token'), join(server.account, 'gone'));
    await using sender = await openSender();
    sender.send(eventOf('web-0'));
    await until(() => sender.log.length === 1);
    assert.match(sender.log[0] ?? '', new RegExp(`127\\.0\\.0\\.1:${port} cannot be asked: ENOENT.*token`));
    await writeFile(join(server.account, 'token'), 'old'); // the server does not know it
    await until(() => server.asked.length > 0);
    assert.deepEqual(server.events(), []);
    await writeFile(join(server.account, 'token'), token);
    await until(() => countOf(sender, 'sent') === 1);
  });

  test('that refuses is not asked again for a while, and one log line names the rule of RBAC', async () => {
    server.fault(() => forbidden('shop'));
    await using sender = await openSender();
    for (let pod = 0; pod < 10; pod++) sender.send(eventOf(`web-${pod}`));
    const elsewhere = eventOf('x', '', { pod: { namespace: 'other', name: 'x', uid: 'u' } });
    sender.send(elsewhere);
    await until(() => countOf(sender, 'refused') === 11);
    sender.send(eventOf('web-11'));
    sender.send(elsewhere);
    assert.equal(countOf(sender, 'refused'), 13);
    assert.equal(sender.log.length, 1);
    assert.match(
      sender.log[0] ?? '',
      /ClusterRole with the rule \{apiGroups: \[""\], resources: \[events\], verbs: \[create, patch\]\}: .*403 \(events is forbidden: User "system:serviceaccount:a:b"/,
    );
  });

  test('that refuses in one namespace gets the events of others', async () => {
    server.fault(({ path }) => (path.includes('/shop/') ? forbidden('shop') : undefined));
    await using sender = await openSender();
    sender.send(eventOf('web-0'));
    sender.send(eventOf('x', '', { pod: { namespace: 'other', name: 'x', uid: 'u' } }));
    await until(() => sender.outcomes.length === 2);
    assert.deepEqual(sender.outcomes, ['refused', 'sent']);
  });

  test('that does not take an event gets the next one', async () => {
    server.fault(({ path }) => (path.includes('/gone/') ? { kind: 'status', code: 404 } : undefined));
    await using sender = await openSender();
    sender.send(eventOf('x', '', { pod: { namespace: 'gone', name: 'x', uid: 'u' } }));
    sender.send(eventOf('web-0'));
    await until(() => sender.outcomes.length === 2);
    assert.deepEqual(sender.outcomes, ['dropped', 'sent']);
  });

  test('is asked nothing more after the daemon has stopped', async () => {
    server.fault(() => ({ kind: 'silence' }));
    const sender = await openSender();
    sender.send(eventOf('web-0'));
    sender.send(eventOf('web-1'));
    await until(() => server.asked.length === 1);
    const begin = performance.now();
    await sender[Symbol.asyncDispose]();
    assert.ok(performance.now() - begin < 500);
    assert.equal(server.asked.length, 1);
    assert.deepEqual(sender.log, []);
  });

  test('of a KUBECONFIG is asked as well', async () => {
    process.env['KUBECONFIG'] = server.kubeconfig;
    try {
      await using sender = await openSender();
      sender.send(eventOf('web-0'));
      await until(() => countOf(sender, 'sent') === 1);
      assert.equal(server.events().length, 1);
    } finally {
      delete process.env['KUBECONFIG'];
    }
  });
});
