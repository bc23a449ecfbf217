import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { openKubeApiServer, pathOf, type TestKubeApi, token } from '../../test/support/node/kube-api.ts';
import { ArtifactError } from '../util/error.ts';
import { type KubeApi, openKubeApi } from './api.ts';

const never = new AbortController().signal;

describe('the Kubernetes API', () => {
  let server: TestKubeApi;
  let api: KubeApi;
  before(async () => {
    server = await openKubeApiServer();
    api = openKubeApi(server.cluster);
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
  });

  test('returns existing objects, and nothing for missing ones', async () => {
    const spec = { serviceAccountName: 'sa', imagePullSecrets: [{ name: 'one' }], containers: [] };
    server.object(pathOf('pods', 'shop', 'web'), {
      kind: 'Pod',
      apiVersion: 'v1',
      metadata: { uid: 'u' },
      spec,
    });
    const pod = await api.pod('shop', 'web', never);
    assert.equal(pod?.metadata?.uid, 'u');
    assert.equal(pod?.spec?.serviceAccountName, 'sa');
    assert.deepEqual(
      pod?.spec?.imagePullSecrets?.map(({ name }) => name),
      ['one'],
    );
    assert.equal(await api.secret('shop', 'none', never), undefined);
    assert.equal(await api.serviceAccount('shop', 'none', never), undefined);
  });

  test('a pod with as many labels as the API takes is read without blocking other work', async () => {
    const labels = Object.fromEntries(Array.from({ length: 100_000 }, (_, nth) => [`l${nth}`, '']));
    server.object(pathOf('pods', 'shop', 'wide'), { kind: 'Pod', metadata: { uid: 'wide', labels } });
    let turns = 0;
    const counting = setInterval(() => turns++, 1);
    const pod = await api.pod('shop', 'wide', never);
    clearInterval(counting);
    assert.equal(pod?.metadata?.uid, 'wide');
    assert.ok(turns > 3, `${turns} turns of other work`);
  });

  test('a name cannot lead to another object', async () => {
    await api.secret('shop', '../../kube-system/secrets/root', never);
    assert.equal(server.asked.at(-1), pathOf('secrets', 'shop', '..%2F..%2Fkube-system%2Fsecrets%2Froot'));
  });

  for (const [resource, read] of [
    ['pods', () => api.pod('shop', 'no', never)],
    ['serviceaccounts', () => api.serviceAccount('shop', 'no', never)],
    ['secrets', () => api.secret('shop', 'no', never)],
  ] as const) {
    test(`a missing right to ${resource} is reported as the rule to add`, async () => {
      const message = `${resource} "no" is forbidden: User "system:serviceaccount:a:b" cannot get it`;
      server.answer(pathOf(resource, 'shop', 'no'), { kind: 'status', code: 403, message });
      await assert.rejects(read(), {
        code: 'denied',
        message: new RegExp(
          `may not get ${resource} in the namespace shop.*\\{apiGroups: \\[""\\], resources: \\[${resource}\\], verbs: \\[get\\]\\}.*403 \\(.*system:serviceaccount:a:b`,
        ),
      });
    });
  }

  test('a name of dots asks for nothing else', async () => {
    for (const name of ['.', '..', ''])
      await assert.rejects(api.secret('shop', name, never), /is no name of an object/);
  });

  test('an object that cannot be read is not quoted', async () => {
    server.answer(pathOf('secrets', 'shop', 'torn'), { kind: 'text', text: `{"data": {"a": "${token}` });
    await assert.rejects(
      api.secret('shop', 'torn', never),
      (thrown: unknown) =>
        thrown instanceof ArtifactError &&
        thrown.code === 'unavailable' &&
        !inspect(thrown, { depth: 10 }).includes(token),
    );
  });

  test('an API that fails is unavailable, not an answer', async () => {
    server.answer(pathOf('secrets', 'shop', 'ill'), { kind: 'status', code: 500, message: 'etcd' });
    await assert.rejects(api.secret('shop', 'ill', never), {
      code: 'unavailable',
      message: /answered 500 \(etcd\)/,
    });
  });

  test('an aborted call throws its own reason', async () => {
    server.answer(pathOf('secrets', 'shop', 'slow'), { kind: 'silence' });
    const leaving = new AbortController();
    const reading = api.secret('shop', 'slow', leaving.signal);
    setTimeout(() => leaving.abort(new Error('gone')), 50);
    await assert.rejects(reading, /^Error: gone$/);
  });
});
