import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { createServer } from '../../../test/support/os/http.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../../../test/support/registry/faulty-registry.ts';
import {
  alice,
  basic,
  bearer,
  identity,
  openGuardedRegistry,
  resolveAs,
} from '../../../test/support/registry/guarded-registry.ts';
import { anonymous, nobody, openTestClient } from '../../../test/support/registry/registry-client.ts';
import { openConnectionPool } from '../download/connection-pool.ts';
import { noProxies } from './egress.ts';
import { toFence, verifyFence } from './redirect.ts';
import type { HttpRequest } from './request.ts';
import { openTls, plainTrust } from './tls.ts';
import { openUndiciTransport } from './undici-transport.ts';

test('a credential does not follow to another origin, neither with a redirect nor by a challenge there', async () => {
  await using registry = await openGuardedRegistry(basic);
  await using elsewhere = await openGuardedRegistry(basic);
  registry.fault(({ path, headers }) =>
    headers.authorization === undefined
      ? undefined
      : { kind: 'redirect', to: `http://${elsewhere.host}${path}` },
  );
  await using client = openTestClient();
  await assert.rejects(resolveAs(alice, client, registry), {
    code: 'unavailable',
    message: new RegExp(`team/model:v1: ${elsewhere.host} answered 401`),
  });
  assert.ok(elsewhere.asked.length > 0);
  assert.ok(elsewhere.asked.every(({ headers }) => headers.authorization === undefined));
});

test('a credential follows within its origin', async () => {
  await using registry = await openGuardedRegistry(basic);
  registry.fault(({ path, headers }) =>
    headers.authorization === undefined || path.includes('?')
      ? undefined
      : { kind: 'redirect', to: `${path}?again` },
  );
  await using client = openTestClient();
  await resolveAs(alice, client, registry);
});

test('a credential is not sent home again by a redirect of another server', async () => {
  await using registry = await openGuardedRegistry(basic);
  await using elsewhere = await openGuardedRegistry(basic);
  registry.fault(({ path, headers }) =>
    headers.authorization === undefined || path.includes('secret')
      ? undefined
      : { kind: 'redirect', to: `http://${elsewhere.host}${path}` },
  );
  elsewhere.fault(() => ({ kind: 'redirect', to: `http://${registry.host}/v2/team/secret/manifests/v1` }));
  await using client = openTestClient();
  await assert.rejects(resolveAs(alice, client, registry));
  const back = registry.asked.filter(({ path }) => path.includes('secret'));
  assert.ok(back.length > 0);
  assert.ok(back.every(({ headers }) => headers.authorization === undefined));
});

test('a redirect does not forward a password in a POST', async () => {
  await using registry = await openGuardedRegistry(bearer);
  await using elsewhere = await openGuardedRegistry(bearer);
  registry.fault(({ path }) =>
    path.startsWith('/token') ? { kind: 'redirect', to: `http://${elsewhere.host}/token` } : undefined,
  );
  await using client = openTestClient();
  await assert.rejects(resolveAs(identity, client, registry), { code: 'unavailable' });
  assert.equal(elsewhere.asked.length, 0);
});

test('endless redirects are ended', async () => {
  await using registry = await openGuardedRegistry({ kind: 'bearer' });
  registry.fault(({ path }) => ({ kind: 'redirect', to: `${path}x` }));
  await using client = openTestClient();
  await assert.rejects(resolveAs(nobody, client, registry), { code: 'unavailable', message: /redirects/ });
  assert.equal(registry.asked.length, 11);
});

const { signal } = new AbortController();
const requestTo = (url: string, fence: string): HttpRequest => ({
  method: 'GET',
  url: new URL(url),
  headers: {},
  insecure: true,
  trust: plainTrust,
  connectMs: 1000,
  origin: { kind: 'reference' },
  transport: undefined,
  fence,
});
const go = (url: string, home: string, named: readonly string[] = []): HttpRequest =>
  verifyFence(requestTo(url, toFence(home)), host => named.includes(host));

describe('a server cannot send this node', () => {
  for (const host of [
    '127.0.0.1',
    '127.9.8.7',
    '0.0.0.0',
    '2130706433',
    '0x7f.1',
    '0177.0.0.1',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::ffff:a9fe:a9fe]',
    '169.254.169.254',
    '169.254.0.1',
    '[fe80::1]',
    '[fe80::a9fe:a9fe]',
    '169.254.169.254.',
    '[fd00:ec2::254]',
    '[fd00:ec2::23]',
    '[fd20:ce::254]',
    '[fd00:42::42]',
    '[::127.0.0.1]',
    '[::ffff:0:a9fe:a9fe]',
    '[64:ff9b:1::a9fe:a9fe]',
    '[64:ff9b::a9fe:a9fe]',
    '[64:ff9b::7f00:1]',
    '[2002:a9fe:a9fe::1]',
    '100.100.100.200',
    '168.63.129.16',
    '192.0.0.192',
  ]) {
    test(`to ${host}`, () => {
      assert.throws(() => go(`http://${host}/latest/meta-data/`, 'registry.example'), {
        code: 'denied',
        message: /an address of the node itself, its link or a metadata service; that is refused/,
      });
    });
  }
});

describe('a server can send this node', () => {
  for (const [what, url, home, named] of [
    ['to an address of the cluster', 'http://10.0.0.7:9000/x', 'registry.example', []],
    ['to a public address', 'https://[2606:4700::1]/x', 'registry.example', []],
    ['to a public address by NAT64', 'https://[64:ff9b::808:808]/x', 'registry.example', []],
    ['to a private address of IPv6', 'https://[fd00:7::1]/x', 'registry.example', []],
    ['to another port of loopback, where it is itself', 'http://127.0.0.1:9000/x', '127.0.0.1', []],
    ['from localhost to loopback', 'http://127.0.0.1:9000/x', 'localhost', []],
    ['from [::1] to 127.0.0.1', 'http://127.0.0.1:9000/x', '[::1]', []],
    ['to its own link-local address', 'http://169.254.7.7:9000/x', '169.254.7.7', []],
    ['to what configuration names', 'http://169.254.7.7:9000/x', 'registry.example', ['169.254.7.7:9000']],
  ] as const) {
    test(what, () => assert.doesNotThrow(() => go(url, home, named)));
  }

  for (const [what, url, home, named] of [
    ['from loopback to a metadata service', 'http://169.254.169.254/', '127.0.0.1', []],
    ['from one link-local address to another', 'http://169.254.169.254/', '169.254.7.7', []],
    ['from a name that only looks like localhost', 'http://127.0.0.1/', 'localhost.example', []],
    ['to another port of what configuration names', 'http://127.0.0.1:22/', 'r.example', ['127.0.0.1:80']],
  ] as const) {
    test(`but not ${what}`, () => {
      assert.throws(() => go(url, home, named), { code: 'denied' });
    });
  }
});

describe('a name counts by its addresses at the time of the connection', () => {
  let port = 0;
  let connections = 0;
  const server = createServer((_, response) => response.end('x'));
  before(async () => {
    server.on('connection', () => connections++);
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    ({ port } = server.address() as AddressInfo);
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  for (const by of ['undici', 'the connection pool'] as const) {
    test(`with ${by}`, async () => {
      const tls = openTls();
      await using pool = openUndiciTransport({
        tls,
        proxies: noProxies,
        trust: () => plainTrust,
        stallMs: 1000,
      });
      using connectionPool = openConnectionPool(tls, 1000);
      const get = async (fence: string) =>
        by === 'undici'
          ? await pool.send(requestTo(`http://localhost:${port}/`, fence), () => () => {}, signal)
          : await connectionPool.send(
              { ...requestTo(`http://localhost:${port}/`, fence), method: 'GET' },
              () => () => {},
              signal,
            );
      const before = connections;
      await assert.rejects(get(''), { code: 'denied', message: /sends this node to localhost, which is at/ });
      assert.equal(connections, before);
      assert.equal((await get('127.0.0.1'))?.status, 200);
      // An open connection of an allowed request is not used for a fenced one.
      await assert.rejects(get(''), { code: 'denied' });
    });
  }
});

describe('a hostile registry', () => {
  let registry: FaultyRegistry;
  before(async () => {
    registry = await openFaultyRegistry();
  });
  after(() => registry[Symbol.asyncDispose]());
  const resolve = async () => {
    await using client = openTestClient();
    await client.resolve({ registry: registry.host, path: 'team/model', tag: 'v1' }, anonymous, signal);
  };

  const refused = () => ({
    code: 'denied',
    message: new RegExp(`^${registry.host} sends this node to 169\\.254\\.169\\.254: an address of the node`),
  });

  test('that redirects to a metadata service is refused at once', async () => {
    registry.fault(() => ({ kind: 'redirect', to: 'http://169.254.169.254/latest/meta-data/' }));
    await assert.rejects(resolve(), refused());
  });

  test('that names a metadata service as token server is refused', async () => {
    const headers = { 'www-authenticate': 'Bearer realm="https://169.254.169.254/token"' };
    registry.fault(() => ({
      kind: 'raw',
      text: `HTTP/1.1 401 Unauthorized\r\nwww-authenticate: ${headers['www-authenticate']}\r\ncontent-length: 0\r\n\r\n`,
    }));
    await assert.rejects(resolve(), refused());
  });
});
