import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { createServer } from 'node:tls';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import { freePort } from '../../../test/support/os/port.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { mountTmpfs } from '../../../test/support/os/tmpfs.ts';
import { openBlobSource } from '../../../test/support/registry/blob-source.ts';
import { anonymous, openTestClient } from '../../../test/support/registry/registry-client.ts';
import { makeCertificate } from '../../../test/support/signing/certificate.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { TransportError } from '../../oci/endpoint.ts';
import type { Sink } from '../../ports/registry.ts';
import { partialName } from '../../store/blobs/ingest.ts';
import { openStore } from '../../store/store.ts';
import { type GrowingFile, setSize } from '../../util/growing-file.ts';
import { anyRate } from '../http/request.ts';
import { StalledError, TransientError, UnreachableError } from '../http/retry.ts';
import { openTls, plainTrust } from '../http/tls.ts';
import { openDownloads, openWorkerPool } from './downloads.ts';
import { openWorkerTransport } from './worker-transport.ts';

const never = new AbortController().signal;
const MiB = 1024 * 1024;
const source = await openBlobSource();
const { large } = source.blobs;
after(() => source[Symbol.asyncDispose]());
afterEach(() => source.registry.reset());

type Taken = { writes: number; hashes: string[]; grown: number };

/** A download of the store, as a sink that records how its bytes arrived. */
async function openDownload(stateDir: string, descriptor: Descriptor, held = Buffer.of()) {
  const store = await openStore({ stateDir });
  if (held.length > 0) writeFileSync(join(stateDir, 'ingest', partialName(descriptor, 'registry')), held);
  const ingest = await store.blobs.ingest(descriptor, 'registry', never);
  const taken: Taken = { writes: 0, hashes: [], grown: 0 };
  const sink: Sink & { readonly file: GrowingFile } = {
    get offset() {
      return ingest.offset;
    },
    write(chunk) {
      taken.writes++;
      ingest.write(chunk);
    },
    restart: () => ingest.restart(),
    verify: () => ingest.verify(),
    file: {
      ...ingest.file,
      grown() {
        taken.grown++;
        ingest.file.grown();
      },
      hashed(hex) {
        taken.hashes.push(hex);
        ingest.file.hashed?.(hex);
      },
    },
  };
  return {
    ingest,
    sink,
    taken,
    async [Symbol.asyncDispose]() {
      await ingest[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

async function pull(sink: Sink, descriptor = large, signal = never, stallMs = 30_000): Promise<void> {
  await using client = openTestClient({ stallMs });
  await client.blob(
    { registry: source.registry.host, path: source.path },
    descriptor,
    sink,
    anonymous,
    signal,
  );
}

test('a worker writes a blob into its file and reports its hash', async () => {
  await using directory = await temporaryDirectory();
  await using download = await openDownload(directory.path, large);
  await pull(download.sink);
  assert.equal(download.taken.writes, 0);
  assert.ok(download.taken.grown > 0);
  assert.deepEqual(download.taken.hashes, [large.digest.slice(7)]);
  assert.ok(readFileSync(download.ingest.path).equals(source.bytes.large));
  await download.ingest.verify();
});

test('a small blob is received in this thread', async () => {
  await using directory = await temporaryDirectory();
  await using download = await openDownload(directory.path, source.blobs.small);
  await pull(download.sink, source.blobs.small);
  assert.ok(download.taken.writes > 0);
  assert.deepEqual(download.taken.hashes, []);
  await download.ingest.verify();
});

test('a large blob that arrives alone is hashed by a second worker, also within and over cuts', async () => {
  const bytes = randomBytes(70 * MiB);
  const { layers } = await source.registry.push(source.path, 'big', [{ bytes }]);
  const big = layers[0] ?? assert.fail();
  for (const held of [0, 3 * MiB + 1]) {
    source.registry.fault(({ path, nth }) =>
      path.includes(big.digest) && nth < 3 ? { kind: 'cut', after: 20 * MiB + 7 } : undefined,
    );
    await using directory = await temporaryDirectory();
    await using download = await openDownload(directory.path, big, bytes.subarray(0, held));
    await pull(download.sink, big);
    assert.deepEqual(download.taken, { ...download.taken, writes: 0, hashes: [big.digest.slice(7)] });
    assert.ok(readFileSync(download.ingest.path).equals(bytes));
    source.registry.reset();
  }
});

test('concurrent blobs share the workers', async () => {
  await using directory = await temporaryDirectory();
  const all = Array.from({ length: 7 }, () => randomBytes(3 * MiB));
  const { layers } = await source.registry.push(
    source.path,
    'many',
    all.map(bytes => ({ bytes })),
  );
  await using client = openTestClient();
  const store = await openStore({ stateDir: directory.path });
  await using _ = store;
  const repository = { registry: source.registry.host, path: source.path };
  const bring = async (layer: Descriptor, index: number): Promise<void> => {
    await using ingest = await store.blobs.ingest(layer, 'registry', never);
    await client.blob(repository, layer, ingest, anonymous, never);
    assert.ok(readFileSync(ingest.path).equals(all[index] ?? assert.fail()));
    await ingest.verify();
  };
  await Promise.all(layers.map(bring));
});

test('existing bytes are hashed first, and the rest is requested', async () => {
  await using directory = await temporaryDirectory();
  await using download = await openDownload(
    directory.path,
    large,
    Buffer.from(source.bytes.large.subarray(0, 3 * MiB)),
  );
  await pull(download.sink);
  assert.deepEqual(source.ranges(), [`bytes=${3 * MiB}-`]);
  assert.deepEqual(download.taken.hashes, [large.digest.slice(7)]);
});

test('existing bytes are skipped in a response from the start, also after a cut', async () => {
  await using directory = await temporaryDirectory();
  const held = Buffer.from(source.bytes.large.subarray(0, 2 * MiB + 5));
  await using download = await openDownload(directory.path, large, held);
  source.registry.fault(({ nth }) =>
    nth === 1
      ? { kind: 'raw', text: `HTTP/1.1 200 OK\r\ncontent-length: ${large.size}\r\n\r\nnot the start` }
      : { kind: 'no-range' },
  );
  await pull(download.sink);
  assert.equal(source.registry.asked.length, 2);
  assert.deepEqual(download.taken, { ...download.taken, writes: 0, hashes: [large.digest.slice(7)] });
  assert.ok(readFileSync(download.ingest.path).equals(source.bytes.large));
});

test('hashing existing bytes leaves the event loop free, and ends on abort', async () => {
  await using directory = await temporaryDirectory();
  const descriptor = { ...describeBlob(Buffer.from('big')), size: 3000 * MiB };
  await using download = await openDownload(directory.path, descriptor, Buffer.of(0));
  truncateSync(download.ingest.path, 2500 * MiB);
  setSize(download.sink.file.state, 2500 * MiB);
  let turns = 0;
  const turn = setInterval(() => turns++, 1);
  const pulling = pull(download.sink, descriptor, AbortSignal.timeout(100));
  await assert.rejects(pulling, { code: 'cancelled' }).finally(() => clearInterval(turn));
  assert.ok(turns > 10, `${turns} turns in 100 ms`);
});

test('after a cut it continues at the byte, after wrong bytes it starts again', async () => {
  await using directory = await temporaryDirectory();
  await using download = await openDownload(directory.path, large);
  source.registry.fault(({ nth }) => (nth < 4 ? { kind: 'cut', after: MiB + 5 } : undefined));
  await pull(download.sink);
  const at = (cuts: number): string => `bytes=${cuts * (MiB + 5)}-`;
  assert.deepEqual(source.ranges(), [undefined, at(1), at(2), at(3)]);
  await download.ingest.verify();

  source.registry.reset();
  await using other = await temporaryDirectory();
  await using wrong = await openDownload(other.path, large);
  source.registry.fault(() => ({ kind: 'wrong-bytes' }));
  await pull(wrong.sink);
  await assert.rejects(wrong.ingest.verify(), { code: 'corrupt' });
  source.registry.reset();
  await pull(wrong.sink);
  await wrong.ingest.verify();
});

test('redirects are followed, and errors are read', async () => {
  await using directory = await temporaryDirectory();
  await using download = await openDownload(directory.path, large);
  source.registry.fault(({ path, nth }) =>
    nth === 1 ? { kind: 'redirect', to: `http://${source.store.host}${path}` } : undefined,
  );
  await pull(download.sink);
  await download.ingest.verify();
  assert.equal(download.taken.writes, 0);

  await using refused = await openDownload(`${directory.path}/2`, large);
  source.registry.fault(() => ({ kind: 'status', status: 403, message: 'not for you' }));
  await assert.rejects(pull(refused.sink), { code: 'denied', message: /not for you/ });
});

test('an error page in TLS records of one byte costs its worker no more than any other', async () => {
  const certificate = makeCertificate();
  const page = Buffer.alloc(130_000);
  const server = createServer(certificate, socket => {
    const sendFrom = (at: number): void => {
      if (at < page.length) socket.write(page.subarray(at, at + 1), () => sendFrom(at + 1));
    };
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.write(`HTTP/1.1 403 Forbidden\r\nContent-Length: ${page.length}\r\n\r\n`, () => sendFrom(0));
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  using _ = { [Symbol.dispose]: () => server.close() };
  await using directory = await temporaryDirectory();
  const caFile = join(directory.path, 'ca.crt');
  writeFileSync(caFile, certificate.cert);
  await using client = openTestClient({ secure: true, caFile });
  await using download = await openDownload(join(directory.path, 'state'), large);
  const { port } = server.address() as AddressInfo;
  const repository = { registry: `127.0.0.1:${port}`, path: source.path };
  await assert.rejects(client.blob(repository, large, download.sink, anonymous, never), {
    code: 'denied',
    message: /answered 403/,
  });
});

test('a response that is not plain takes the fallback, and is hashed all the same', async () => {
  await using directory = await temporaryDirectory();
  await using download = await openDownload(directory.path, large);
  source.registry.fault(({ nth }) => (nth < 3 ? { kind: 'chunked', bytes: 2 * MiB } : undefined));
  await pull(download.sink);
  assert.ok(download.taken.writes > 0);
  await download.ingest.verify();
});

test('a full disk ends the download, and its bytes are released at once', async () => {
  await using directory = await temporaryDirectory();
  const stateDir = mountTmpfs(join(directory.path, 'disk'), 'size=3m');
  await using download = await openDownload(stateDir, large);
  await assert.rejects(pull(download.sink), {
    code: 'exhausted',
    message: /^downloading blob sha256:.*ENOSPC/,
  });
  assert.equal(download.ingest.offset, 0);
  assert.equal(statSync(download.ingest.path).size, 0);
});

test('an abort takes effect at once, and nothing is written afterwards', async () => {
  await using directory = await temporaryDirectory();
  await using download = await openDownload(directory.path, large);
  source.registry.fault(() => ({ kind: 'stall', after: 2 * MiB }));
  const controller = new AbortController();
  const pulling = pull(download.sink, large, controller.signal);
  while (download.sink.offset < 2 * MiB) await new Promise(resolve => setTimeout(resolve, 5));
  controller.abort();
  await assert.rejects(pulling, { code: 'cancelled' });
  assert.equal(download.sink.offset, 2 * MiB);
  assert.ok(readFileSync(download.ingest.path).equals(source.bytes.large.subarray(0, 2 * MiB)));
});

test('a server that stalls is abandoned, and asked for the rest', async () => {
  await using directory = await temporaryDirectory();
  await using download = await openDownload(directory.path, large);
  source.registry.fault(({ nth }) => (nth === 1 ? { kind: 'stall', after: 2 * MiB } : undefined));
  await pull(download.sink, large, never, 200);
  assert.deepEqual(source.ranges(), [undefined, `bytes=${2 * MiB}-`]);
  await download.ingest.verify();
});

const requestOf = (path: string) =>
  ({
    method: 'GET',
    url: new URL(`http://${source.registry.host}${path}`),
    headers: {},
    insecure: true,
    trust: plainTrust,
    connectMs: 1_000,
    origin: { kind: 'reference' },
    transport: undefined,
  }) as const;

test('a server that cannot be reached, speaks no TLS or is silent is that error also from a worker', async () => {
  await using directory = await temporaryDirectory();
  await using download = await openDownload(directory.path, large);
  await using pool = openWorkerPool({ stallMs: 200 });
  source.registry.fault(() => ({ kind: 'stall', after: 0 }));
  const [dead, silent] = [`http://127.0.0.1:${await freePort()}/`, `http://${source.registry.host}/v2/`];
  const cases = [
    [dead, UnreachableError],
    [silent.replace('http:', 'https:'), TransportError],
    [`${silent}${source.path}/blobs/${large.digest}`, StalledError],
  ] as const;
  for (const [url, type] of cases) {
    await using transport = openWorkerTransport(pool, download.sink.file, large.size) ?? assert.fail();
    const receive = Object.assign(() => {}, { file: download.sink.file });
    const sent = transport.send({ ...requestOf('/'), url: new URL(url) }, () => receive, never);
    await assert.rejects(sent, type);
  }
});

test('after a worker ends, another one may retry', async () => {
  await using directory = await temporaryDirectory();
  await using download = await openDownload(directory.path, large);
  const { file } = download.sink;
  await using pool = openWorkerPool({ stallMs: 5_000 });
  const get = async () => {
    await using transport = openWorkerTransport(pool, file, large.size) ?? assert.fail();
    return await transport.send(
      requestOf(`/v2/${source.path}/blobs/${large.digest}`),
      () => Object.assign(() => assert.fail('not to the file'), { file }),
      never,
    );
  };
  source.registry.fault(({ nth }) => (nth === 1 ? { kind: 'stall', after: 2 * MiB } : undefined));
  const first = assert.rejects(
    get(),
    thrown => thrown instanceof TransientError && /thread .* has ended/.test(thrown.message),
  );
  while (download.sink.offset < 2 * MiB) await new Promise(resolve => setTimeout(resolve, 5));
  const idle = pool.choose() ?? assert.fail();
  await idle.thread.ask({ kind: 'close', transport: -1 });
  await idle.thread[Symbol.asyncDispose]();
  for (let lease = pool.choose(); lease?.receives.size === 0; lease = pool.choose())
    lease.receives.add(() => 2 ** 40);
  await pool.choose()?.thread[Symbol.asyncDispose]();
  await first;
  download.sink.restart();
  assert.equal((await get())?.status, 200);
  await download.ingest.verify();
});

test('without room for a worker, this thread receives', async () => {
  await using directory = await temporaryDirectory();
  await using download = await openDownload(directory.path, large);
  const none = {
    has: () => false,
    choose: () => undefined,
    use() {},
    release() {},
    async [Symbol.asyncDispose]() {},
  };
  const settings = {
    tls: openTls(),
    stallMs: 5_000,
    leastRate: anyRate,
    otherwise: () => assert.fail('it is plain'),
  };
  await using downloads = openDownloads(settings, none);
  await using transport = downloads.open(download.sink.file, large.size);
  const path = `/v2/${source.path}/blobs/${large.digest}`;
  const receive = Object.assign((chunk: Uint8Array) => download.sink.write(chunk), {
    file: download.sink.file,
  });
  assert.equal((await transport.send(requestOf(path), () => receive, never)).status, 200);
  assert.ok(download.taken.writes > 0);
  await download.ingest.verify();
});
