import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openObjectServer, type StoredObject } from '../../test/support/node/object-server.ts';
import { openKubeObjects } from './objects.ts';

const never = new AbortController().signal;
const server = await openObjectServer();
after(() => server[Symbol.asyncDispose]());
const objects = openKubeObjects(server.cluster);
const root = '/apis/g.example/v1';
const kind = ['apis', 'g.example', 'v1', 'things'];
const versionOf = (object: unknown): string => (object as StoredObject).metadata.resourceVersion;

test('an object is created, replaced and removed, and each write names what it changes', async () => {
  const path = [...kind, 'one'];
  assert.equal(await objects.get(path, never), undefined);
  const created = await objects.create(kind, { metadata: { name: 'one' }, spec: { a: 1 } }, never);
  assert.equal(await objects.create(kind, { metadata: { name: 'one' } }, never), undefined);
  const metadata = { name: 'one', resourceVersion: versionOf(created) };
  const replaced = await objects.replace(path, { metadata, spec: { a: 2 } }, never);
  assert.equal(await objects.replace(path, { metadata, spec: { a: 3 } }, never), undefined);
  server.put(`${root}/things/one`, { spec: { b: 4 } });
  await objects.remove(path, versionOf(replaced), never);
  const present = server.get(`${root}/things/one`);
  assert.ok(present !== undefined, 'that was another version');
  await objects.remove(path, versionOf(present), never);
  assert.equal(server.get(`${root}/things/one`), undefined);
});

test('a refusal names the rule that is missing, and a failure that it may pass', async () => {
  const ns = ['api', 'v1', 'namespaces', 'shop', 'secrets', 'pull'];
  const rows = [
    [
      403,
      'denied',
      /^this daemon may not get secrets in the namespace shop; .*\{apiGroups: \[""\], resources: \[secrets\], verbs: \[get\]\}: .* answered 403/,
    ],
    [401, 'denied', /answered 401.*it does not know this daemon/],
    [422, 'invalid', /answered 422/],
    [500, 'unavailable', /answered 500/],
  ] as const;
  try {
    for (const [status, code, message] of rows) {
      server.refuse(() => status);
      await assert.rejects(objects.get(ns, never), { code, message });
    }
    server.refuse(() => 403);
    await assert.rejects(objects.replace([...kind, 'one', 'status'], {}, never), {
      message: /resources: \[things\/status\], verbs: \[update\]/,
    });
    server.refuse(() => 404);
    await assert.rejects(objects.create(kind, {}, never), {
      code: 'not-found',
      message: /no such things$/,
    });
  } finally {
    server.refuse(() => undefined);
  }
});
