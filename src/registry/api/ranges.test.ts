import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startChild, waitUntil } from '../../../test/support/node/child.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { mountTmpfs } from '../../../test/support/os/tmpfs.ts';
import { anonymous, openTestClient } from '../../../test/support/registry/registry-client.ts';
import { openThrottledRegistry } from '../../../test/support/registry/throttled-registry.ts';
import { openStore } from '../../store/store.ts';
import { createTokenBucket } from '../../util/token-bucket.ts';
import type { RegistryClient } from '../client.ts';
import { type RangeRules, usualRules } from './range-rate.ts';

const MiB = 1024 * 1024;
const registry = await openThrottledRegistry(randomBytes(24 * MiB));
const { blob, bytes } = registry;
after(() => registry[Symbol.asyncDispose]());
afterEach(() => registry.reset());

const never = new AbortController().signal;
/** As usual, in a hundredth of the time. */
const rules: RangeRules = {
  ...usualRules,
  lookMs: 100,
  leastLeft: MiB,
  leastMs: 300,
  rangeMs: 100,
  rangeBytes: [MiB, 4 * MiB],
};

const openClient = (ranges = rules): RegistryClient => openTestClient({ ranges });

/** When the last download ended. */
let ended = 0;

/** Downloads the blob into a store, and verifies it. */
async function pull(stateDir: string, client: RegistryClient, signal = never): Promise<void> {
  await using store = await openStore({ stateDir });
  await using ingest = await store.blobs.ingest(blob, registry.host, signal);
  await client.blob({ registry: registry.host, path: 'a' }, blob, ingest, anonymous, signal);
  ended = performance.now();
  await ingest.verify();
  assert.ok(readFileSync(ingest.path).equals(bytes));
  await ingest.commit();
}

async function pullOnce(client: RegistryClient): Promise<void> {
  await using directory = await temporaryDirectory();
  await pull(directory.path, client);
}

const sent = (): number => registry.asked.reduce((sum, entry) => sum + entry.sent, 0);
/** Requests for ranges with an end. */
const ranges = (): number => registry.asked.filter(({ range }) => /-\d+$/.test(range ?? '')).length;

test('a rate of the node bounds all connections together', async () => {
  const bucket = createTokenBucket(10 * MiB);
  await using client = openTestClient({ ranges: { ...rules, gain: 0 }, bucketOf: () => bucket });
  registry.throttle = { connection: 3 * MiB };
  const began = performance.now();
  await pullOnce(client);
  assert.ok(ranges() > 0, 'the rate is no reason against ranges');
  const seconds = (performance.now() - began) / 1000;
  assert.ok(seconds > (0.9 * blob.size) / bucket.bytesPerSecond, `${seconds} s`);
});

test('a server that limits each connection is asked by four, and sends every byte about once', async t => {
  await using client = openClient({ ...rules, gain: 0 });
  registry.throttle = { connection: 4 * MiB };
  await pullOnce(client);
  const [, first] = registry.asked;
  assert.ok(first !== undefined);
  const from = Number(/\d+/.exec(first.range ?? '')?.[0]);
  const rate = ((blob.size - from) / (ended - first.at)) * 1000;
  t.diagnostic(`${(rate / (4 * 4 * MiB)).toFixed(2)} of the rate of four connections`);
  assert.ok(rate > 1.5 * 4 * MiB, `${rate / MiB} MiB/s`);
  assert.equal(registry.mostAtOnce, 4);
  assert.ok(sent() < 1.1 * blob.size, `${sent()} bytes`);
  assert.equal(registry.asked[0]?.range, undefined);
  for (const { range } of registry.asked.slice(1)) assert.match(range ?? '', /^bytes=\d+-\d+$/);
});

test('a fast server is asked once', async () => {
  await using client = openClient({ ...rules, fast: 1 });
  registry.throttle = { connection: 48 * MiB };
  await pullOnce(client);
  assert.deepEqual(
    registry.asked.map(({ range }) => range),
    [undefined],
  );
});

for (const [what, answer] of [
  [
    'sends the whole',
    (request, response) => {
      if (!/^bytes=\d+-\d+$/.test(request.headers.range ?? '')) return false;
      response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
      return true;
    },
  ],
  [
    'refuses a second connection',
    (request, response) => {
      if (!/^bytes=\d+-\d+$/.test(request.headers.range ?? '')) return false;
      response.writeHead(403, { 'content-length': 0 }).end();
      return true;
    },
  ],
  [
    'miscounts',
    (request, response) => {
      const [, from, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
      if (from === undefined) return false;
      const body = bytes.subarray(Number(from) + 1, Number(last) + 1);
      const range = `bytes ${Number(from) + 1}-${last}/${bytes.length}`;
      response.writeHead(206, { 'content-length': body.length, 'content-range': range }).end(body);
      return true;
    },
  ],
  [
    'sends other bytes than it says',
    (request, response) => {
      const [, from, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
      if (from === undefined) return false;
      const body = bytes.subarray(0, Number(last) + 1 - Number(from));
      const range = `bytes ${from}-${last}/${bytes.length}`;
      response.writeHead(206, { 'content-length': body.length, 'content-range': range }).end(body);
      return true;
    },
  ],
] satisfies (readonly [string, NonNullable<(typeof registry)['throttle']['answer']>])[]) {
  test(`a server that ${what} is asked by one connection again, and not by more for a while`, async () => {
    await using client = openClient();
    registry.throttle = { connection: 24 * MiB, answer };
    await pullOnce(client);
    const before = registry.asked.length;
    assert.ok(before > 2, 'ranges were tried');
    await pullOnce(client);
    assert.deepEqual(
      registry.asked.slice(before).map(({ range }) => range),
      [undefined],
    );
  });
}

test('where all connections together are no faster, one continues', async () => {
  await using client = openClient({ ...rules, gain: 100 });
  registry.throttle = { link: 10 * MiB };
  await pullOnce(client);
  const last = registry.asked.at(-1)?.range;
  assert.match(last ?? '', /^bytes=\d+-$/);
  assert.ok(sent() < 1.5 * blob.size, `${sent()} bytes`);
});

/** Answers a request for a range, and cuts it after some bytes; false for another request. */
function cutRange(request: IncomingMessage, response: ServerResponse, after: number): boolean {
  const [, from, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  if (from === undefined) return false;
  const body = bytes.subarray(Number(from), Number(last) + 1);
  const range = `bytes ${from}-${last}/${bytes.length}`;
  response.writeHead(206, { 'content-length': body.length, 'content-range': range });
  response.write(body.subarray(0, after), () => response.destroy());
  return true;
}

test('a range that is cut continues at its byte', async () => {
  await using client = openClient();
  let cuts = 0;
  registry.throttle = {
    connection: 8 * MiB,
    answer(request, response) {
      if (cuts >= 2 || !cutRange(request, response, 100_000)) return false;
      cuts++;
      return true;
    },
  };
  await pullOnce(client);
  assert.equal(cuts, 2);
  assert.equal(registry.asked.filter(({ range }) => range?.endsWith('-')).length, 0, 'ranges went on');
});

test('a server that sends a byte of each range is asked few times, and then by one connection', async () => {
  await using client = openClient();
  registry.throttle = {
    connection: 24 * MiB,
    answer: (request, response) => cutRange(request, response, 1),
  };
  await pullOnce(client);
  const asked = registry.asked.length;
  assert.ok(asked > 8 && asked < 50, `${asked} requests`);
  assert.match(registry.asked.at(-1)?.range ?? '', /^bytes=\d+-$/);
});

test('an abort keeps what came, and the next pull asks for the rest', async () => {
  await using directory = await temporaryDirectory();
  registry.throttle = { connection: 4 * MiB };
  {
    await using client = openClient();
    const leaving = new AbortController();
    const pulling = pull(directory.path, client, leaving.signal);
    const look = setInterval(() => ranges() > 5 && leaving.abort(), 5);
    await assert.rejects(pulling, { code: 'cancelled' }).finally(() => clearInterval(look));
  }
  await verifyContinuation(directory.path);
});

/**
 * Verifies that what the partial file has is right, and that the next pull asks for nothing of it. Returns the bytes of
 * its extents.
 */
async function verifyContinuation(stateDir: string): Promise<number> {
  assert.ok(ranges() > 0);
  await using store = await openStore({ stateDir });
  const kept = store.blobs.partial(blob, registry.host);
  assert.ok(kept > 0 && kept < blob.size, `${kept} bytes`);
  await using ingest = await store.blobs.ingest(blob, registry.host, never);
  assert.equal(ingest.offset, kept);
  const extents = ingest.file.holes?.extents ?? [];
  const content = readFileSync(ingest.path);
  for (const { from, to } of [{ from: 0, to: kept }, ...extents])
    assert.ok(content.subarray(from, to).equals(bytes.subarray(from, to)), `${from} to ${to}`);
  const inExtents = extents.reduce((sum, { from, to }) => sum + to - from, 0);
  registry.reset();
  await using client = openClient({ ...rules, fast: 1 });
  await client.blob({ registry: registry.host, path: 'a' }, blob, ingest, anonymous, never);
  await ingest.verify();
  assert.ok(readFileSync(ingest.path).equals(bytes));
  assert.equal(sent(), blob.size - kept - inExtents);
  await ingest.drop();
  return inExtents;
}

/** Downloads the blob in ranges, in a process of its own. */
const work = (stateDir: string): string => {
  const urlOf = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
  return `
    const { openStore } = await import(${urlOf('../../store/store.ts')});
    const { anonymous, openTestClient } = await import(${urlOf('../../../test/support/registry/registry-client.ts')});
    const [blob, registry, stateDir, ranges] = ${JSON.stringify([blob, registry.host, stateDir, rules])};
    const signal = new AbortController().signal;
    const store = await openStore({ stateDir });
    const ingest = await store.blobs.ingest(blob, registry, signal);
    const client = openTestClient({ ranges });
    await client.blob({ registry, path: 'a' }, blob, ingest, anonymous, signal);`;
};

test('a process killed while several ranges come keeps what came, and the next pull asks for the rest', async () => {
  await using directory = await temporaryDirectory();
  let inExtents = 0;
  for (let kill = 0; kill < 3; kill++) {
    registry.reset();
    registry.throttle = { connection: 4 * MiB };
    const script = work(directory.path);
    await using child = await startChild(process.execPath, ['--input-type=module', '-e', script]);
    await waitUntil(child, () => ranges() > 4 + kill, 'ranges come');
    await sleep(Math.random() * 100);
    await child.end('SIGKILL');
    inExtents += await verifyContinuation(directory.path);
  }
  assert.ok(inExtents > 0, 'something came after a hole');
});

test('extents of a download are dropped where one connection has to continue it', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  await using ingest = await store.blobs.ingest(blob, registry.host, never);
  ingest.write(bytes.subarray(0, MiB));
  ingest.file.holes?.fill(MiB, [{ from: 2 * MiB, to: 3 * MiB }]); // whose bytes are zeros
  registry.throttle = {
    answer(request, response) {
      if (!/^bytes=\d+-\d+$/.test(request.headers.range ?? '')) return false;
      response.writeHead(403, { 'content-length': 0 }).end();
      return true;
    },
  };
  await using client = openClient({ ...rules, fast: 1 });
  await client.blob({ registry: registry.host, path: 'a' }, blob, ingest, anonymous, never);
  assert.equal(registry.asked.at(-1)?.range, `bytes=${MiB}-`);
  await ingest.verify();
  assert.ok(readFileSync(ingest.path).equals(bytes));
});

test('a full disk ends all connections, and nothing is left', async () => {
  await using directory = await temporaryDirectory();
  const stateDir = mountTmpfs(join(directory.path, 'disk'), 'size=12m');
  await using client = openClient();
  registry.throttle = { connection: 8 * MiB };
  await using store = await openStore({ stateDir });
  await using ingest = await store.blobs.ingest(blob, registry.host, never);
  await assert.rejects(client.blob({ registry: registry.host, path: 'a' }, blob, ingest, anonymous, never), {
    code: 'exhausted',
    message: /^downloading blob sha256:.*ENOSPC/,
  });
  assert.ok(ranges() > 0);
  assert.deepEqual([ingest.offset, statSync(ingest.path).size], [0, 0]);
});
