import assert from 'node:assert/strict';
import { hash, randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createServer } from '../../../test/support/os/http.ts';
import { type DemoRegistry, openDemoRegistry, toHandler } from './registry.ts';

const bytes = randomBytes(100_000);
const digest = `sha256:${hash('sha256', bytes)}`;
let directory = '';
let registry: DemoRegistry;
let origin = '';
const server = createServer();

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'demo-registry-'));
  registry = openDemoRegistry(directory);
  server.on('request', toHandler(registry.answer));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

after(async () => {
  server.close();
  server.closeAllConnections();
  await rm(directory, { recursive: true });
});

async function startUpload(repository: string): Promise<string> {
  const response = await fetch(`${origin}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
  assert.equal(response.status, 202);
  return `${origin}${response.headers.get('location')}`;
}

test('a blob pushed in one PUT comes back whole, in part, and not beyond its end', async () => {
  const put = await fetch(`${await startUpload('one')}?digest=${digest}`, { method: 'PUT', body: bytes });
  assert.equal(put.status, 201);
  const url = `${origin}/v2/one/blobs/${digest}`;
  const whole = await fetch(url);
  assert.deepEqual(Buffer.from(await whole.arrayBuffer()), bytes);
  const part = await fetch(url, { headers: { range: 'bytes=99990-' } });
  assert.equal(part.status, 206);
  assert.equal(part.headers.get('content-range'), 'bytes 99990-99999/100000');
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), bytes.subarray(99_990));
  assert.equal((await fetch(url, { headers: { range: 'bytes=100000-' } })).status, 416);
});

test('a blob pushed in pieces is one blob', async () => {
  const upload = await startUpload('pieces');
  for (const piece of [bytes.subarray(0, 70_000), bytes.subarray(70_000)]) {
    assert.equal((await fetch(upload, { method: 'PATCH', body: piece })).status, 202);
  }
  assert.equal((await fetch(`${upload}?digest=${digest}`, { method: 'PUT' })).status, 201);
  const head = await fetch(`${origin}/v2/pieces/blobs/${digest}`, { method: 'HEAD' });
  assert.equal(head.headers.get('content-length'), '100000');
});

test('a blob of another digest is refused and not kept', async () => {
  const put = await fetch(`${await startUpload('liar')}?digest=${digest}`, {
    method: 'PUT',
    body: bytes.subarray(1),
  });
  assert.equal(put.status, 400);
  assert.equal((await fetch(`${origin}/v2/liar/blobs/${digest}`)).status, 404);
});

test('a manifest is found by tag and by digest, in its repository only', async () => {
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const put = await fetch(`${origin}/v2/team/models/manifests/v1`, {
    method: 'PUT',
    headers: { 'content-type': mediaType },
    body: '{}',
  });
  assert.equal(put.status, 201);
  const head = await fetch(`${origin}/v2/team/models/manifests/v1`, { method: 'HEAD' });
  const named = head.headers.get('docker-content-digest');
  assert.equal(named, `sha256:${hash('sha256', '{}')}`);
  const byDigest = await fetch(`${origin}/v2/team/models/manifests/${named}`);
  assert.equal(byDigest.headers.get('content-type'), mediaType);
  assert.equal(await byDigest.text(), '{}');
  assert.equal((await fetch(`${origin}/v2/team/other/manifests/${named}`)).status, 404);
});

test('a generated blob is as one that is stored, and no file', async () => {
  const read = function* (from: number, to: number) {
    for (let at = from; at < to; at += 30_000) yield bytes.subarray(at, Math.min(at + 30_000, to));
  };
  const before = readdirSync(directory);
  assert.equal(await registry.putBlob('generated', { size: bytes.length, read }), digest);
  const url = `${origin}/v2/generated/blobs/${digest}`;
  assert.deepEqual(Buffer.from(await (await fetch(url)).arrayBuffer()), bytes);
  const part = await fetch(url, { headers: { range: 'bytes=29999-60000' } });
  assert.equal(part.headers.get('content-range'), 'bytes 29999-60000/100000');
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), bytes.subarray(29_999, 60_001));
  assert.deepEqual(readdirSync(directory), before);
});
