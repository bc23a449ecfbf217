import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { type FaultyRegistry, openFaultyRegistry } from '../../../test/support/registry/faulty-registry.ts';
import { anonymous, openMemorySink, openTestClient } from '../../../test/support/registry/registry-client.ts';
import { makeCertificate } from '../../../test/support/signing/certificate.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { ArtifactError } from '../../util/error.ts';
import type { RegistryClient } from '../client.ts';
import { plainTrust, toTrust } from './tls.ts';

const { signal } = new AbortController();
const path = 'team/model';
const large = Buffer.alloc(5 * 1024 * 1024, 'x');
const certificate = makeCertificate();
let directory = '';
let caFile = '';
let registry: FaultyRegistry;
let plain: FaultyRegistry;
let layer: Descriptor;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tls-'));
  caFile = join(directory, 'ca.crt');
  await writeFile(caFile, certificate.cert);
  registry = await openFaultyRegistry({ tls: certificate });
  plain = await openFaultyRegistry();
  const pushed = await registry.push(path, 'v1', [{ bytes: large }]);
  await plain.push(path, 'v1', [{ bytes: large }]);
  assert.ok(pushed.layers[0] !== undefined);
  layer = pushed.layers[0];
});
after(async () => {
  await registry[Symbol.asyncDispose]();
  await plain[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const resolve = (client: RegistryClient, host: string) =>
  client.resolve({ registry: host, path, tag: 'v1' }, anonymous, signal);

async function pull(client: RegistryClient, host: string) {
  const sink = openMemorySink();
  await client.blob({ registry: host, path }, layer, sink, anonymous, signal);
  assert.equal(sink.digest(), layer.digest);
}

test('a secure registry is trusted by its CA in a file, for small and large blobs', async () => {
  await using client = openTestClient({ secure: true, caFile });
  await resolve(client, registry.host);
  await pull(client, registry.host);
});

test('a flipped bit costs a record and not the download', async () => {
  let connections = 0;
  const way = createServer(near => {
    const far = connect(Number(registry.host.split(':')[1]), '127.0.0.1');
    const flips = ++connections === 1;
    let came = 0;
    far.on('data', (bytes: Buffer) => {
      const at = 2_000_000 - came;
      if (flips && at >= 0 && at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ 1;
      came += bytes.length;
      near.write(bytes);
    });
    near.pipe(far);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const)
      one.on('error', () => {}).on('close', () => other.destroy());
  });
  await new Promise<void>(listening => way.listen(0, '127.0.0.1', listening));
  using _ = { [Symbol.dispose]: () => way.close() };
  const reasons: string[] = [];
  await using client = openTestClient({
    secure: true,
    caFile,
    onRetry: ({ reason }) => reasons.push(reason),
  });
  registry.reset();
  await pull(client, `127.0.0.1:${(way.address() as AddressInfo).port}`);
  const ranges = registry.asked.map(({ headers }) => headers.range);
  assert.match(ranges.at(-1) ?? '', /^bytes=\d{7}-$/);
});

test('the certificate must match the name of the registry', async () => {
  const named = makeCertificate('DNS:localhost');
  await writeFile(join(directory, 'named.crt'), named.cert);
  await using elsewhere = await openFaultyRegistry({ tls: named });
  await elsewhere.push(path, 'v1', [{ bytes: large }]);
  await using client = openTestClient({ secure: true, caFile: join(directory, 'named.crt') });
  await resolve(client, elsewhere.host.replace('127.0.0.1', 'localhost'));
  await pull(client, elsewhere.host.replace('127.0.0.1', 'localhost'));
  for (const ask of [resolve, pull]) {
    await assert.rejects(ask(client, elsewhere.host), {
      code: 'unavailable',
      message:
        /^the certificate of 127\.0\.0\.1:\d+ cannot be verified \(.*does not match.*\); add its CA with --ca-file, or mark the registry insecure in registries\.conf, or set skip_verify in its hosts\.toml$/,
    });
  }
});

test('a secure registry of an unknown CA is not trusted, and is asked once', async () => {
  await using client = openTestClient({ secure: true });
  const expected = {
    code: 'unavailable',
    message: /^the certificate of .* cannot be verified \(.*self-signed/,
  };
  await assert.rejects(resolve(client, registry.host), expected);
  await assert.rejects(pull(client, registry.host), expected);
});

test('a secure registry is never asked by plain HTTP', async () => {
  await using client = openTestClient({ secure: true, caFile });
  await assert.rejects(resolve(client, plain.host), {
    code: 'unavailable',
    message:
      /does not speak TLS correctly \(.*\); if it serves plain HTTP, mark the registry insecure in registries\.conf, or write http:\/\/ before the host in its hosts\.toml$/,
  });
  assert.equal(plain.asked.length, 0);
});

test('a secure registry with TLS 1.1 is refused', async () => {
  const server = createTlsServer({
    ...certificate,
    maxVersion: 'TLSv1.1',
    minVersion: 'TLSv1',
    ciphers: 'ALL@SECLEVEL=0',
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>(resolved => server.listen(0, '127.0.0.1', resolved));
  try {
    await using client = openTestClient({ secure: true, caFile });
    await assert.rejects(resolve(client, `127.0.0.1:${(server.address() as AddressInfo).port}`), {
      code: 'unavailable',
      message: /does not speak TLS correctly/,
    });
  } finally {
    server.close();
  }
});

test('an insecure registry may have any certificate, for small and large blobs', async () => {
  await using client = openTestClient();
  await resolve(client, registry.host);
  await pull(client, registry.host);
});

test('an insecure registry without TLS is asked by plain HTTP, and TLS is tried once', async () => {
  let hellos = 0;
  const server = createServer(socket => {
    socket.once('data', first => {
      if (first[0] === 0x16) hellos += 1;
      socket.end(
        first[0] === 0x16
          ? 'HTTP/1.0 400 Bad Request\r\n\r\n'
          : 'HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n',
      );
    });
    socket.on('error', () => {});
  });
  await new Promise<void>(resolved => server.listen(0, '127.0.0.1', resolved));
  try {
    await using client = openTestClient();
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    for (let times = 0; times < 3; times += 1) {
      await assert.rejects(resolve(client, host), { code: 'not-found' });
      await assert.rejects(pull(client, host), { code: 'not-found' });
    }
    assert.equal(hellos, 1);
  } finally {
    server.close();
  }
});

test('an insecure registry that is unreachable is reported for https and http', async () => {
  await using client = openTestClient();
  await assert.rejects(resolve(client, '127.0.0.1:1'), {
    code: 'unavailable',
    message:
      /^127\.0\.0\.1:1\/team\/model:v1: by https: 127\.0\.0\.1:1 cannot be reached \(connect ECONNREFUSED 127\.0\.0\.1:1\); by http: 127\.0\.0\.1:1 cannot be reached \(connect ECONNREFUSED 127\.0\.0\.1:1\); gave up after \d+ tries in 30 s; check the host and the network path to it$/,
  });
});

test('a redirect from https to http is refused, but not for an insecure registry', async () => {
  registry.fault(({ path: asked }) => ({ kind: 'redirect', to: `http://${plain.host}${asked}` }));
  await using secure = openTestClient({ secure: true, caFile });
  for (const ask of [resolve, pull]) {
    await assert.rejects(ask(secure, registry.host), {
      code: 'denied',
      message: `${registry.host} redirects from https to plain http at ${plain.host}, which is refused; mark the registry insecure in registries.conf, or set skip_verify in its hosts.toml, if that is meant`,
    });
  }
  await using insecure = openTestClient();
  await pull(insecure, registry.host);
  registry.reset();
});

test('a cut in TLS is resumed', async () => {
  registry.fault(({ nth }) => (nth < 4 ? { kind: 'cut', after: 1_000_000 } : undefined));
  await using client = openTestClient({ secure: true, caFile });
  await pull(client, registry.host);
  assert.deepEqual(
    registry.asked.slice(-3).map(({ headers }) => headers.range),
    ['bytes=1000000-', 'bytes=2000000-', 'bytes=3000000-'],
  );
  registry.reset();
});

test('changed certificates apply to the next connection', async () => {
  let trust = plainTrust;
  await using client = openTestClient({ secure: true, trust: () => trust });
  await assert.rejects(resolve(client, registry.host), {
    code: 'unavailable',
    message: /cannot be verified/,
  });
  trust = toTrust([certificate.cert], []);
  await resolve(client, registry.host);
  trust = plainTrust;
  await assert.rejects(resolve(client, registry.host), {
    code: 'unavailable',
    message: /cannot be verified/,
  });
});

test('a client whose trusted certificates are missing uses no TLS at all', async () => {
  await using client = openTestClient({
    secure: true,
    trust: () => {
      throw new ArtifactError('unavailable', 'the CA file is broken');
    },
  });
  await assert.rejects(resolve(client, registry.host), {
    code: 'unavailable',
    message: /the CA file is broken/,
  });
});

test('a realm by plain HTTP is refused for a secure registry', async () => {
  await using guarded = await openFaultyRegistry({
    tls: certificate,
    guard: { kind: 'bearer', realm: `http://${plain.host}/token` },
  });
  await using client = openTestClient({ secure: true, caFile });
  await assert.rejects(resolve(client, guarded.host), { code: 'denied', message: /not by https/ });
  assert.ok(plain.asked.every(({ path: asked }) => !asked.startsWith('/token')));
});
