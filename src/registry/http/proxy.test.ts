import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FaultyRegistry, openFaultyRegistry } from '../../../test/support/registry/faulty-registry.ts';
import { openTestProxy, type TestProxy } from '../../../test/support/registry/proxy.ts';
import { anonymous, openMemorySink, openTestClient } from '../../../test/support/registry/registry-client.ts';
import { makeCertificate } from '../../../test/support/signing/certificate.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { parseProxies } from './egress.ts';

const { signal } = new AbortController();
const path = 'team/model';
const certificate = makeCertificate('DNS:registry.test,IP:127.0.0.1');
const user = `Basic ${Buffer.from('user:S3CRET').toString('base64')}`;
let directory: string;
let caFile: string;
let secure: FaultyRegistry;
let plain: FaultyRegistry;
let layers: readonly Descriptor[];

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'proxy-'));
  caFile = join(directory, 'ca.crt');
  await writeFile(caFile, certificate.cert);
  secure = await openFaultyRegistry({ tls: certificate });
  plain = await openFaultyRegistry();
  const sources = [{ bytes: Buffer.alloc(1000, 's') }, { bytes: Buffer.alloc(5 * 1024 * 1024, 'l') }];
  layers = (await secure.push(path, 'v1', sources)).layers;
  await plain.push(path, 'v1', sources);
});
after(async () => {
  await secure[Symbol.asyncDispose]();
  await plain[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

/** Pulls a small and a large blob of a registry that only the proxy can resolve. */
async function pull(registry: FaultyRegistry, proxyUrl: string): Promise<void> {
  const proxies = parseProxies({ HTTPS_PROXY: proxyUrl, HTTP_PROXY: proxyUrl });
  await using client = openTestClient({ secure: registry === secure, caFile, proxies });
  const host = registry.host.replace('127.0.0.1', 'registry.test');
  for (const layer of layers) {
    const sink = openMemorySink();
    await client.blob({ registry: host, path }, layer, sink, anonymous, signal);
    assert.equal(sink.digest(), layer.digest);
  }
}

const withUser = (proxy: TestProxy): string => proxy.url.replace('://', '://user:S3CRET@');
const lines = (proxy: TestProxy) => proxy.asked.map(({ line }) => line);

for (const [kind, tls] of [
  ['http', undefined],
  ['https', certificate],
] as const) {
  describe(`a proxy by ${kind}`, () => {
    test('tunnels https, small and large, and leaves no connection', async () => {
      await using proxy = await openTestProxy({ authorization: user, ...(tls === undefined ? {} : { tls }) });
      await pull(secure, withUser(proxy));
      const port = secure.host.split(':')[1];
      assert.deepEqual(lines(proxy), [`CONNECT registry.test:${port}`, `CONNECT registry.test:${port}`]);
      for (let times = 0; proxy.open() > 0 && times < 100; times += 1) await sleep(10);
      assert.equal(proxy.open(), 0);
    });

    test('receives http requests with the whole URL, and its password goes no further', async () => {
      await using proxy = await openTestProxy({ authorization: user, ...(tls === undefined ? {} : { tls }) });
      plain.reset();
      await pull(plain, withUser(proxy));
      const gets = lines(proxy).filter(line => line.startsWith('GET'));
      const host = plain.host.replace('127.0.0.1', 'registry.test');
      assert.deepEqual(
        gets,
        layers.map(({ digest }) => `GET http://${host}/v2/${path}/blobs/${digest}`),
      );
      assert.equal(plain.asked.length, 2);
      assert.ok(plain.asked.every(({ headers }) => headers['proxy-authorization'] === undefined));
      assert.ok(plain.asked.every(({ headers }) => headers.host === host));
    });
  });
}

describe('a proxy that', () => {
  test('requires a password is named, with where to configure it', async () => {
    await using proxy = await openTestProxy({ authorization: user });
    const expected = {
      code: 'unavailable',
      message:
        /the proxy 127\.0\.0\.1:\d+ answered 407 and wants a user name and password: give them in the URL of/,
    };
    await assert.rejects(pull(secure, proxy.url), expected);
    await assert.rejects(pull(secure, proxy.url.replace('://', '://u:wrong@')), expected);
    assert.equal(proxy.asked.length, 2);
  });

  test('refuses a host is named, and asked once', async () => {
    await using proxy = await openTestProxy({ status: 403 });
    await assert.rejects(pull(secure, proxy.url), {
      code: 'unavailable',
      message:
        /^registry\.test:\d+ cannot be reached: the proxy 127\.0\.0\.1:\d+ answered 403 and does not let/,
    });
    assert.equal(proxy.asked.length, 1);
  });

  test('fails for a while is retried', async () => {
    await using proxy = await openTestProxy({ status: 502 });
    await assert.rejects(pull(secure, proxy.url), {
      code: 'unavailable',
      message:
        /cannot be reached by the proxy 127\.0\.0\.1:\d+ \(it answered 502\); gave up after 9 tries in 30 s; check the host and the network path to it$/,
    });
  });

  test('is not reachable is named, and its password is not', async () => {
    await assert.rejects(pull(secure, 'http://user:S3CRET@127.0.0.1:1'), (thrown: Error) => {
      assert.match(thrown.message, /by the proxy 127\.0\.0\.1:1 \(connect ECONNREFUSED/);
      assert.doesNotMatch(thrown.message, /S3CRET|user/);
      return true;
    });
  });
});

test('loopback is reached directly', async () => {
  const proxies = parseProxies({ HTTPS_PROXY: 'http://127.0.0.1:1' });
  await using client = openTestClient({ secure: true, caFile, proxies });
  await client.resolve({ registry: secure.host, path, tag: 'v1' }, anonymous, signal);
});
