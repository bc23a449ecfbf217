import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '../ports/request.ts';
import { ArtifactError } from '../util/error.ts';
import type { PodObject, SecretObject, ServiceAccountObject } from './api.ts';
import { openPodObjects } from './pod-objects.ts';

const never = new AbortController().signal;
const pod: Pod = { namespace: 'shop', name: 'web', uid: 'u-1', serviceAccount: 'sa' };
const base64 = (text: string): string => Buffer.from(text).toString('base64');

type PodApi = Parameters<typeof openPodObjects>[0];

/** An API with these objects by name, which records its requests. */
function apiOf(objects: {
  readonly pods?: Record<string, PodObject>;
  readonly accounts?: Record<string, ServiceAccountObject>;
  readonly secrets?: Record<string, SecretObject>;
}): { readonly api: PodApi; readonly asked: string[] } {
  const asked: string[] = [];
  const read =
    <T>(kind: string, known: Record<string, T> = {}) =>
    async (namespace: string, name: string): Promise<T | undefined> => {
      asked.push(`${kind} ${namespace}/${name}`);
      return known[name];
    };
  const api = {
    pod: read('pod', objects.pods),
    serviceAccount: read('account', objects.accounts),
    secret: read('secret', objects.secrets),
  };
  return { api, asked };
}

const web = (spec: PodObject['spec'] = {}): PodObject => ({ metadata: { uid: 'u-1' }, spec });

test("the pod's pull secrets come first, then those of its service account, each once", async () => {
  const { api } = apiOf({
    pods: {
      web: web({ serviceAccountName: 'sa', imagePullSecrets: [{ name: 'own' }, { name: 'both' }, {}] }),
    },
    accounts: { sa: { imagePullSecrets: [{ name: 'both' }, { name: 'inherited' }] } },
    secrets: {
      own: { data: { '.dockerconfigjson': base64('{"auths":{}}') } },
      inherited: { data: { '.dockercfg': base64('ö') } },
    },
  });
  assert.deepEqual(await openPodObjects(api).pullSecrets(pod, never), [
    { name: 'own', data: { '.dockerconfigjson': '{"auths":{}}' } },
    { name: 'both' },
    { name: 'inherited', data: { '.dockercfg': 'ö' } },
  ]);
});

test('a pod with very many pull secrets is refused, and none is requested', async () => {
  const imagePullSecrets = Array.from({ length: 65 }, (_, nth) => ({ name: `s${nth}` }));
  const { api, asked } = apiOf({ pods: { web: web({ imagePullSecrets }) } });
  await assert.rejects(openPodObjects(api).pullSecrets(pod, never), {
    code: 'denied',
    message: /^the pod shop\/web and its service account name 65 image pull secrets, and may name 64; remove/,
  });
  assert.deepEqual(asked, ['pod shop/web']);
});

test('a pod with neither has none, and no secret is requested', async () => {
  const { api, asked } = apiOf({ pods: { web: web() } });
  assert.deepEqual(await openPodObjects(api).pullSecrets(pod, never), []);
  assert.deepEqual(asked, ['pod shop/web']);
});

test('the API is asked once for many volumes of a pod within seconds', async () => {
  const { api, asked } = apiOf({ pods: { web: web({ serviceAccountName: 'sa' }) } });
  const objects = openPodObjects(api);
  await Promise.all([objects.pullSecrets(pod, never), objects.pullSecrets(pod, never)]);
  await objects.pullSecrets(pod, never);
  await objects.annotations(pod, never);
  assert.deepEqual(asked, ['pod shop/web', 'account shop/sa']);
});

test('a pod of the same name but another uid is refused', async () => {
  const { api, asked } = apiOf({ pods: { web: web({ imagePullSecrets: [{ name: 'own' }] }) } });
  await assert.rejects(openPodObjects(api).pullSecrets({ ...pod, uid: 'u-2' }, never), {
    code: 'denied',
    message:
      /of the pod shop\/web cannot be read: the volume is of the pod with uid u-2, and .* has another pod/,
  });
  assert.deepEqual(asked, ['pod shop/web'], 'no secret is read');
});

test('the secrets of a pod that no longer exists are refused, and no registry is blamed', async () => {
  await assert.rejects(openPodObjects(apiOf({}).api).pullSecrets(pod, never), {
    code: 'denied',
    message: /no such pod any more/,
  });
});

test('a static pod is found as its mirror', async () => {
  const annotations = { 'kubernetes.io/config.mirror': 'u-1' };
  const { api } = apiOf({ pods: { web: { metadata: { uid: 'other', annotations }, spec: {} } } });
  assert.deepEqual(await openPodObjects(api).pullSecrets(pod, never), []);
});

test('a pod is found by its name, a static one with the uid that kubelet gave it', async () => {
  const annotations = { 'kubernetes.io/config.mirror': 'of-kubelet' };
  const { api } = apiOf({
    pods: {
      web: web({ serviceAccountName: 'sa' }),
      mirror: { metadata: { uid: 'other', annotations }, spec: {} },
    },
  });
  const { find } = openPodObjects(api);
  assert.deepEqual(await find({ namespace: 'shop', name: 'web' }, never), pod);
  assert.deepEqual(await find({ namespace: 'shop', name: 'mirror' }, never), {
    namespace: 'shop',
    name: 'mirror',
    uid: 'of-kubelet',
  });
  await assert.rejects(find({ namespace: 'shop', name: 'gone' }, never), {
    code: 'not-found',
    message:
      'the Kubernetes API has no pod shop/gone; check its namespace and name, and that it was not deleted',
  });
});

test('a failure is not cached', async () => {
  const { api } = apiOf({ pods: { web: web() } });
  let calls = 0;
  const flaky: PodApi = {
    ...api,
    pod: (...args) => {
      calls += 1;
      return calls === 1 ? Promise.reject(new ArtifactError('unavailable', 'no')) : api.pod(...args);
    },
  };
  const objects = openPodObjects(flaky);
  await assert.rejects(objects.pullSecrets(pod, never), { code: 'unavailable' });
  assert.deepEqual(await objects.pullSecrets(pod, never), []);
});

test('an abort of the first caller does not affect the others', async () => {
  const { api } = apiOf({});
  const answer = Promise.withResolvers<PodObject>();
  const slow: PodApi = {
    ...api,
    pod: (_namespace, _name, signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
        void answer.promise.then(resolve);
      }),
  };
  const objects = openPodObjects(slow);
  const leaving = new AbortController();
  const left = objects.pullSecrets(pod, leaving.signal);
  const stayed = objects.pullSecrets(pod, never);
  leaving.abort(new Error('gone'));
  await assert.rejects(left, /^Error: gone$/);
  answer.resolve(web());
  assert.deepEqual(await stayed, []);
});

test('annotations are those of the service account', async () => {
  const { api } = apiOf({ accounts: { sa: { metadata: { annotations: { a: 'b' } } } } });
  const objects = openPodObjects(api);
  assert.deepEqual(await objects.annotations(pod, never), { a: 'b' });
  assert.deepEqual(await objects.annotations({ ...pod, serviceAccount: 'absent' }, never), {});
  assert.deepEqual(await objects.annotations({ namespace: 'shop', name: 'web', uid: 'u-1' }, never), {});
});
