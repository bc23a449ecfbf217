import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../../../test/support/registry/faulty-registry.ts';
import { alice, bearer } from '../../../test/support/registry/guarded-registry.ts';
import { openTestProxy } from '../../../test/support/registry/proxy.ts';
import { anonymous, keyringOf, openTestClient } from '../../../test/support/registry/registry-client.ts';
import { ofBlob } from '../../../test/support/registry/testbed.ts';
import { makeCertificate } from '../../../test/support/signing/certificate.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { ArrivedBlob, BlobBatch } from '../../ports/registry.ts';
import { createMemorySink } from '../../volume/sinks/memory-sink.ts';
import { toUpstream } from '../config/route.ts';
import { parseProxies, type RequestReport } from '../http/egress.ts';

const never = new AbortController().signal;
const path = 'team/lines';
const contents = Array.from({ length: 100 }, (_, at) => Buffer.from(`line ${at}\n`.repeat(at + 1)));
const registry = await openFaultyRegistry();
const { layers } = await registry.push(
  path,
  'v1',
  contents.map(bytes => ({ bytes })),
);
const bytesOf = new Map(layers.map(({ digest }, at) => [digest, contents[at]]));
beforeEach(() => registry.reset());
after(() => registry[Symbol.asyncDispose]());

/** Collects what is taken, and verifies it. */
function openBatch(descriptors: readonly Descriptor[] = layers) {
  const taken: ArrivedBlob[] = [];
  const slots = { held: 0, most: 0 };
  const batch: BlobBatch = {
    descriptors,
    open: createMemorySink,
    async slot() {
      slots.most = Math.max(slots.most, ++slots.held);
      return { [Symbol.dispose]: () => void slots.held-- };
    },
    async take(some) {
      for (const { descriptor, bytes } of some)
        assert.deepEqual(Buffer.from(bytes), bytesOf.get(descriptor.digest));
      taken.push(...some);
    },
  };
  return { taken, slots, batch };
}

const nameAt = ({ host }: { readonly host: string }) => ({ registry: host, path });
const countBlobs = ({ asked }: FaultyRegistry): number =>
  asked.filter(({ path }) => path.includes('/blobs/')).length;

test('all blobs of a batch come, each by one request that is reported', async () => {
  const reports: RequestReport[] = [];
  await using client = openTestClient({ onRequest: report => void reports.push(report) });
  const { taken, slots, batch } = openBatch();
  await client.blobs(nameAt(registry), batch, anonymous, never);
  assert.deepEqual(
    taken.map(({ descriptor }) => descriptor.digest).toSorted(),
    layers.map(({ digest }) => digest).toSorted(),
  );
  assert.equal(countBlobs(registry), layers.length);
  const good = reports.filter(({ status, path }) => status === 200 && path.includes('/blobs/'));
  assert.equal(new Set(good.map(({ path }) => path)).size, layers.length);
  assert.equal(slots.held, 0);
  assert.ok(slots.most > 1);
});

test('a connection keeps no more in memory than a few blobs of the largest size', async () => {
  const sources = Array.from({ length: 40 }, (_, at) => ({ bytes: Buffer.alloc(64 * 1024, at + 1) }));
  const { layers } = await registry.push('team/larger', 'v1', sources);
  const taken: number[] = [];
  const batch: BlobBatch = {
    descriptors: layers,
    open: createMemorySink,
    slot: async () => ({ [Symbol.dispose]() {} }),
    async take(some) {
      taken.push(some.length);
    },
  };
  await using client = openTestClient();
  await client.blobs({ registry: registry.host, path: 'team/larger' }, batch, anonymous, never);
  assert.equal(
    taken.reduce((sum, count) => sum + count, 0),
    40,
  );
  assert.ok(Math.max(...taken) <= 4, String(taken));
});

test('the credential and the mirror of the first blob serve for all', async () => {
  await using guarded = await openFaultyRegistry({ guard: bearer });
  await guarded.push(
    path,
    'v1',
    contents.map(bytes => ({ bytes })),
  );
  const mirror = { ...toUpstream({ host: guarded.host, path, insecure: true }), mirrorOf: 'hub.example' };
  const last = toUpstream({ host: registry.host, path, insecure: true });
  await using client = openTestClient({ route: () => ({ mirrors: [mirror], last }) });
  const { taken, batch } = openBatch();
  await client.blobs({ registry: 'hub.example', path }, batch, keyringOf(alice), never);
  assert.equal(taken.length, layers.length);
  assert.ok(taken.every(({ servedBy }) => servedBy.mirrorOf === 'hub.example'));
  assert.equal(countBlobs(registry), 0);
  assert.equal(guarded.asked.filter(({ path }) => path.startsWith('/token')).length, 1);
});

test('a batch comes over TLS, from a registry whose certificate is trusted', async () => {
  const tls = makeCertificate();
  await using directory = await temporaryDirectory();
  const caFile = join(directory.path, 'ca.crt');
  writeFileSync(caFile, tls.cert);
  await using secure = await openFaultyRegistry({ tls });
  await secure.push(
    path,
    'v1',
    contents.map(bytes => ({ bytes })),
  );
  await using client = openTestClient({ secure: true, caFile });
  const { taken, batch } = openBatch();
  await client.blobs(nameAt(secure), batch, anonymous, never);
  assert.equal(taken.length, layers.length);
});

test('where there is a proxy, only the first blob is asked for, through it', async () => {
  await using proxy = await openTestProxy();
  await using client = openTestClient({ proxies: parseProxies({ HTTP_PROXY: proxy.url }) });
  const { taken, batch } = openBatch();
  const name = { registry: registry.host.replace('127.0.0.1', 'r.test'), path };
  await client.blobs(name, batch, anonymous, never);
  assert.equal(taken.length, 1);
  assert.equal(countBlobs(registry), 1);
});

const oddAnswers = {
  'an error': { kind: 'status', status: 503 },
  'a redirect': { kind: 'redirect', to: 'http://127.0.0.1:1/' },
  'wrong bytes': { kind: 'wrong-bytes' },
  'no length': { kind: 'chunked' },
  'the end of the connection': { kind: 'cut', after: 3 },
  'an encoding': { kind: 'headers', headers: { 'content-encoding': 'gzip' } },
  'another length': { kind: 'headers', headers: { 'content-length': '1' } },
  'no HTTP': { kind: 'raw', text: 'hello\r\n\r\n' },
} as const;
const [, , , odd] = layers;

for (const [what, fault] of Object.entries(oddAnswers)) {
  test(`${what} in a batch ends it, and what came before stays`, async () => {
    await using client = openTestClient({ stallMs: 500 }); // the registry sends nothing where another answer is under way
    registry.fault(({ path }) => (odd !== undefined && path.includes(odd.digest) ? fault : undefined));
    const { taken, slots, batch } = openBatch();
    await client.blobs(nameAt(registry), batch, anonymous, never);
    assert.ok(taken.length >= 1 && taken.length < layers.length);
    assert.ok(taken.every(({ descriptor }) => descriptor !== odd));
    assert.equal(slots.held, 0);
  });
}

test('a batch whose first blob fails says why', async () => {
  await using client = openTestClient();
  registry.fault(ofBlob({ kind: 'status', status: 404 }));
  const { taken, batch } = openBatch();
  await assert.rejects(client.blobs(nameAt(registry), batch, anonymous, never), { code: 'not-found' });
  assert.equal(taken.length, 0);
});

test('a registry that redirects the first blob is not asked for the others', async () => {
  await using other = await openFaultyRegistry();
  await other.push(
    path,
    'v1',
    contents.map(bytes => ({ bytes })),
  );
  await using client = openTestClient({ isNamed: () => true });
  registry.fault(({ path }) =>
    path.includes('/blobs/') ? { kind: 'redirect', to: `http://${other.host}${path}` } : undefined,
  );
  const { taken, batch } = openBatch();
  await client.blobs(nameAt(registry), batch, anonymous, never);
  assert.equal(taken.length, 1);
  assert.equal(countBlobs(registry), 1);
});

/** Answers `perConnection` requests of a connection, in chunks of `chunk` bytes, and closes it. One blob comes slowly. */
async function openHasty(perConnection: number, chunk: number, slow?: string) {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer(socket => {
    sockets.add(socket);
    connections++;
    let answered = 0;
    socket.setNoDelay(true).on('error', () => {});
    const answer = async (data: Buffer | string): Promise<void> => {
      const [, digest] = /blobs\/(sha256:\w+)/.exec(data.toString()) ?? [];
      const body = digest === undefined ? undefined : bytesOf.get(digest as never);
      if (body === undefined) return void socket.destroy();
      const head = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`;
      const all = Buffer.concat([Buffer.from(head), body]);
      for (let at = 0; at < all.length; at += chunk) {
        socket.write(all.subarray(at, at + chunk));
        await (digest === slow ? sleep(50) : new Promise(resolve => setImmediate(resolve)));
        if (socket.destroyed) return;
      }
      if (++answered === perConnection) socket.end();
    };
    socket.on('data', data => void answer(data));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => connections,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}

for (const chunk of [1, 7, 40, 10_000]) {
  test(`answers in parts of ${chunk} bytes come whole, and a closed connection is replaced`, async () => {
    await using server = await openHasty(5, chunk);
    await using client = openTestClient();
    const { taken, batch } = openBatch(layers.slice(0, 40));
    await client.blobs(nameAt(server), batch, anonymous, never);
    assert.equal(taken.length, 40);
    assert.ok(server.connections() >= 5);
  });
}

test('a cancelled batch ends at once, with its slots', async () => {
  await using client = openTestClient();
  registry.fault(({ path }) =>
    odd !== undefined && path.includes(odd.digest) ? { kind: 'stall', after: 1 } : undefined,
  );
  const ending = new AbortController();
  const { slots, batch } = openBatch();
  setTimeout(() => ending.abort(new Error('enough')), 200);
  await assert.rejects(client.blobs(nameAt(registry), batch, anonymous, ending.signal));
  assert.equal(slots.held, 0);
});

test('what the taker throws ends a batch', async () => {
  await using client = openTestClient();
  const { slots, batch } = openBatch();
  const take = async (): Promise<void> => {
    throw new Error('the disk is full');
  };
  await assert.rejects(client.blobs(nameAt(registry), { ...batch, take }, anonymous, never), /disk is full/);
  assert.equal(slots.held, 0);
});

test('a server that sends a byte now and then ends a batch', async () => {
  await using server = await openHasty(100, 1, odd?.digest);
  await using client = openTestClient({ leastRate: { bytesPerSecond: 1000, overMs: 200 } });
  const { taken, batch } = openBatch();
  await client.blobs(nameAt(server), batch, anonymous, never);
  assert.ok(taken.length < layers.length);
});

test('a server that falls silent in a batch ends it', async () => {
  await using client = openTestClient({ stallMs: 200 });
  registry.fault(({ path }) =>
    odd !== undefined && path.includes(odd.digest) ? { kind: 'stall', after: 1 } : undefined,
  );
  const { taken, batch } = openBatch();
  await client.blobs(nameAt(registry), batch, anonymous, never);
  assert.ok(taken.length < layers.length);
});
