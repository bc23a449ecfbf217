import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openObjectServer, type StoredObject } from '../../test/support/node/object-server.ts';
import type { KubeChange } from '../ports/kube-objects.ts';
import { openKubeObjects } from './objects.ts';

const never = new AbortController().signal;
const server = await openObjectServer();
after(() => server[Symbol.asyncDispose]());
const objects = openKubeObjects(server.cluster);
const root = '/apis/g.example/v1';
const kind = ['apis', 'g.example', 'v1', 'things'];
const versionOf = (object: unknown): string => (object as StoredObject).metadata.resourceVersion;

test('an object is created, replaced, changed and removed, and each write names what it changes', async () => {
  const path = [...kind, 'one'];
  assert.equal(await objects.get(path, never), undefined);
  const created = await objects.create(kind, { metadata: { name: 'one' }, spec: { a: 1 } }, never);
  assert.equal(await objects.create(kind, { metadata: { name: 'one' } }, never), undefined);
  const metadata = { name: 'one', resourceVersion: versionOf(created) };
  const replaced = await objects.replace(path, { metadata, spec: { a: 2 } }, never);
  assert.equal(await objects.replace(path, { metadata, spec: { a: 3 } }, never), undefined);
  await objects.patch(path, { spec: { a: null, b: 4 } }, never);
  assert.deepEqual(server.get(`${root}/things/one`)?.['spec'], { b: 4 });
  await objects.apply([...kind, 'two'], { kind: 'Thing', spec: { c: 5 } }, never);
  assert.deepEqual(server.get(`${root}/things/two`)?.['spec'], { c: 5 });
  assert.match(server.asked.at(-1)?.url ?? '', /fieldManager=oci-artifact-csi&force=true$/);
  await objects.remove(path, versionOf(replaced), never);
  const present = server.get(`${root}/things/one`);
  assert.ok(present !== undefined, 'that was another version');
  await objects.remove(path, versionOf(present), never);
  assert.equal(server.get(`${root}/things/one`), undefined);
});

test('a list is read in parts, and followed from its version', async () => {
  for (const name of ['a', 'b', 'c']) server.put(`${root}/namespaces/n/parts/${name}`, { kind: 'Part' });
  const parts = ['apis', 'g.example', 'v1', 'parts'];
  const first = await objects.page(parts, { limit: 2 }, never);
  const second = await objects.page(parts, { limit: 2, next: first.next }, never);
  assert.deepEqual([first.items.length, second.items.length, second.next], [2, 1, undefined]);
  const changes: string[] = [];
  const ending = new AbortController();
  const note = async ({ kind: change, object }: KubeChange): Promise<boolean> => {
    changes.push(`${change} ${(object as StoredObject).metadata.name}`);
    if (changes.length === 4) ending.abort(new Error('all are seen'));
    return true;
  };
  const watching = objects.watch(parts, { version: first.version, seconds: 60 }, note, ending.signal);
  server.put(`${root}/namespaces/n/parts/d`, { kind: 'Part' });
  server.put(`${root}/namespaces/n/parts/a`, { kind: 'Part', spec: 1 });
  server.remove(`${root}/namespaces/n/parts/b`);
  await assert.rejects(watching, { message: 'all are seen' });
  assert.deepEqual(changes, ['mark undefined', 'put d', 'put a', 'gone b']);
  server.compact();
  assert.equal(await objects.watch(parts, { version: first.version, seconds: 60 }, note, never), false);
});

test('an object with as many annotations as the API takes is read beside others, in a list and as a change', async () => {
  const keys = Array.from({ length: 60_000 }, (_, index) => `a${index.toString(36)}`);
  const annotations = Object.fromEntries(keys.map(key => [key, '']));
  server.put(`${root}/namespaces/evil/notes/x`, { kind: 'Note', metadata: { annotations } });
  server.put(`${root}/namespaces/shop/notes/y`, { kind: 'Note' });
  const notes = ['apis', 'g.example', 'v1', 'notes'];
  const { items, version } = await objects.page(notes, { limit: 64 }, never);
  assert.equal(items.length, 2);
  const ending = new AbortController();
  const changes: string[] = [];
  const note = async ({ kind: change, object }: KubeChange): Promise<boolean> => {
    changes.push(`${change} ${(object as StoredObject).metadata.name}`);
    if (changes.length === 3) ending.abort(new Error('all are seen'));
    return true;
  };
  const watching = objects.watch(notes, { version, seconds: 60 }, note, ending.signal);
  server.put(`${root}/namespaces/evil/notes/x`, { kind: 'Note', metadata: { annotations }, spec: 1 });
  server.put(`${root}/namespaces/shop/notes/y`, { kind: 'Note', spec: 1 });
  await assert.rejects(watching, { message: 'all are seen' });
  assert.deepEqual(changes, ['mark undefined', 'put x', 'put y']);
});

test('the objects of some namespaces are left out, and the next change is read when the last one was taken', async () => {
  const path = (namespace: string, name: string): string => `${root}/namespaces/${namespace}/wares/${name}`;
  for (const namespace of ['bad', 'evil', 'shop']) server.put(path(namespace, 'x'), { kind: 'Ware' });
  const wares = ['apis', 'g.example', 'v1', 'wares'];
  const without = ['evil', 'bad'];
  const { items, version } = await objects.page(wares, { limit: 8, without }, never);
  const [item] = items;
  assert.deepEqual(
    items.map(({ object }) => (object as StoredObject).metadata.namespace),
    ['shop'],
  );
  assert.equal(item?.bytes, JSON.stringify(item?.object).length);
  const sizes: number[] = [];
  const taking = Promise.withResolvers<boolean>();
  const take = async ({ object, bytes }: KubeChange): Promise<boolean> => {
    sizes.push(bytes - JSON.stringify(object).length);
    if (sizes.length === 1) server.put(path('evil', 'x'), { kind: 'Ware', spec: 1 });
    if (sizes.length === 1)
      for (const spec of [2, 3, 4]) server.put(path('shop', 'x'), { kind: 'Ware', spec });
    return sizes.length < 2 || (sizes.length === 2 && taking.promise);
  };
  const watching = objects.watch(wares, { version, seconds: 60, without }, take, never);
  while (sizes.length < 2) await sleep(10);
  await sleep(50);
  assert.equal(sizes.length, 2);
  taking.resolve(true);
  assert.equal(await watching, true);
  const around = '{"type":"MODIFIED","object":}'.length;
  assert.deepEqual(sizes.slice(1), [around, around]);
});

test('a list with more values than are read at once can be read in smaller parts', async () => {
  for (const name of ['a', 'b'])
    server.put(`${root}/namespaces/n/rows/${name}`, { kind: 'Row', spec: Array(300_000).fill(0) });
  const rows = ['apis', 'g.example', 'v1', 'rows'];
  await assert.rejects(objects.page(rows, { limit: 2 }, never), {
    code: 'exhausted',
    message: /answered too much at once: it has more than 524288 values/,
  });
  assert.equal((await objects.page(rows, { limit: 1 }, never)).items.length, 1);
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
    [422, 'unavailable', /answered 422/],
    [500, 'unavailable', /answered 500/],
  ] as const;
  try {
    for (const [status, code, message] of rows) {
      server.refuse(() => status);
      await assert.rejects(objects.get(ns, never), { code, message });
      const watching = objects.watch(kind, { version: '1', seconds: 60 }, async () => true, never);
      await assert.rejects(watching, { code });
    }
    server.refuse(() => 403);
    await assert.rejects(objects.patch([...kind, 'one', 'status'], {}, never), {
      message: /resources: \[things\/status\], verbs: \[patch\]/,
    });
    server.refuse(() => 422);
    await assert.rejects(objects.create(kind, {}, never), { code: 'invalid', message: /answered 422/ });
    server.refuse(() => 404);
    await assert.rejects(objects.page(kind, { limit: 1 }, never), {
      code: 'not-found',
      message: /no such things$/,
    });
  } finally {
    server.refuse(() => undefined);
  }
});
