import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { namespacePath, openKubeApiServer, type TestKubeApi } from '../../test/support/node/kube-api.ts';
import type { Namespaces } from '../ports/kube.ts';
import { openKubeApi } from './api.ts';
import { openNamespaces } from './namespaces.ts';

const never = new AbortController().signal;

let server: TestKubeApi;
let namespaces: Namespaces;
before(async () => {
  server = await openKubeApiServer();
  namespaces = openNamespaces(openKubeApi(server.cluster));
});
after(async () => {
  await server[Symbol.asyncDispose]();
});

const askedFor = (name: string): number => server.asked.filter(path => path === namespacePath(name)).length;

test('labels are those of the namespace, read once for many pods within seconds', async () => {
  const labels = { team: 'a', empty: '' };
  server.object(namespacePath('shop'), { kind: 'Namespace', metadata: { labels } });
  const all = await Promise.all([namespaces.labels('shop', never), namespaces.labels('shop', never)]);
  assert.deepEqual([...all, await namespaces.labels('shop', never)], [labels, labels, labels]);
  assert.equal(askedFor('shop'), 1);
});

test('a namespace without labels has none', async () => {
  server.object(namespacePath('bare'), { kind: 'Namespace', metadata: { name: 'bare' } });
  assert.deepEqual(await namespaces.labels('bare', never), {});
});

test('a namespace that does not exist has no labels to check', async () => {
  await assert.rejects(namespaces.labels('gone', never), {
    code: 'denied',
    message: /has no namespace gone$/,
  });
});

test('a name cannot lead to another object', async () => {
  await assert.rejects(namespaces.labels('../secrets', never), { code: 'denied' });
  assert.equal(server.asked.at(-1), '/api/v1/namespaces/..%2Fsecrets');
});

test('a missing right is reported as the rule to add', async () => {
  server.answer(namespacePath('kept'), {
    kind: 'status',
    code: 403,
    message: 'namespaces "kept" is forbidden',
  });
  await assert.rejects(namespaces.labels('kept', never), {
    code: 'denied',
    message: /\{apiGroups: \[""\], resources: \[namespaces\], verbs: \[get\]\}.*403 \(namespaces "kept" is/,
  });
});

test('a failure is not cached', async () => {
  server.answer(namespacePath('ill'), { kind: 'status', code: 500, message: 'etcd' });
  await assert.rejects(namespaces.labels('ill', never), { code: 'unavailable', message: /500 \(etcd\)/ });
  server.object(namespacePath('ill'), { kind: 'Namespace', metadata: { labels: { well: 'yes' } } });
  assert.deepEqual(await namespaces.labels('ill', never), { well: 'yes' });
});

test('an abort of the first caller does not affect the others', async () => {
  const answer = Promise.withResolvers<{ readonly metadata: { readonly labels: Record<string, string> } }>();
  const slow = openNamespaces({
    namespace: (_, signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
        void answer.promise.then(resolve);
      }),
  });
  const leaving = new AbortController();
  const left = slow.labels('shop', leaving.signal);
  const stayed = slow.labels('shop', never);
  leaving.abort(new Error('gone'));
  await assert.rejects(left, /^Error: gone$/);
  answer.resolve({ metadata: { labels: { a: 'b' } } });
  assert.deepEqual(await stayed, { a: 'b' });
});
