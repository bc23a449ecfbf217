import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFaultyRegistry } from '../../../test/support/registry/faulty-registry.ts';
import {
  alice,
  bearer,
  countTokens,
  identity,
  mallory,
  openGuardedRegistry,
  resolveAs,
} from '../../../test/support/registry/guarded-registry.ts';
import { openFakeClock, openTestClient } from '../../../test/support/registry/registry-client.ts';
import { makeCertificate } from '../../../test/support/signing/certificate.ts';
import { toUpstream } from '../config/route.ts';
import { toTrust } from '../http/tls.ts';

test('a token is used for a repository until it expires', async () => {
  await using registry = await openGuardedRegistry({ ...bearer, expiresIn: 100 });
  const clock = openFakeClock();
  await using client = openTestClient({ clock });
  await resolveAs(alice, client, registry);
  clock.advance(99_000);
  await resolveAs(alice, client, registry);
  assert.equal(countTokens(registry), 1);
  clock.advance(1000);
  await resolveAs(alice, client, registry);
  assert.equal(countTokens(registry), 2);
  assert.match(
    registry.asked.find(({ path }) => path.startsWith('/token'))?.path ?? '',
    /^\/token\?service=registry%2C\+of\+tests&scope=repository%3Ateam%2Fmodel%3Apull$/,
  );
});

test('a token without a lifetime is valid for 60 s', async () => {
  await using registry = await openGuardedRegistry(bearer);
  const clock = openFakeClock();
  await using client = openTestClient({ clock });
  await resolveAs(alice, client, registry);
  clock.advance(59_999);
  await resolveAs(alice, client, registry);
  assert.equal(countTokens(registry), 1);
  clock.advance(1);
  await resolveAs(alice, client, registry);
  assert.equal(countTokens(registry), 2);
});

test("a token server that refuses the password is unauthenticated, and the error names the credential's source", async () => {
  await using registry = await openGuardedRegistry(bearer);
  await using client = openTestClient();
  await assert.rejects(resolveAs(mallory, client, registry), {
    code: 'unauthenticated',
    message: `a token for ${registry.host}/team/model was asked for as --auth-file: ${registry.host} answered 401 (UNAUTHORIZED: wrong credential); correct or renew that credential`,
  });
});

test('an identity token is exchanged for access tokens by POST', async () => {
  await using registry = await openGuardedRegistry(bearer);
  await using client = openTestClient();
  await resolveAs(identity, client, registry);
  assert.equal(registry.count('POST', '/token'), 1);
  await assert.rejects(resolveAs({ ...identity, token: 'stolen-and-void' }, client, registry), {
    code: 'unauthenticated',
    message: /was asked for as --auth-file: .* answered 401/,
  });
});

test('a token server that does not support POST is unauthenticated, whatever its status', async () => {
  await using registry = await openGuardedRegistry(bearer);
  await using client = openTestClient();
  registry.fault(({ method }) => (method === 'POST' ? { kind: 'status', status: 404 } : undefined));
  await assert.rejects(resolveAs(identity, client, registry), {
    code: 'unauthenticated',
    message: /answered 404/,
  });
});

test('a token server that sends no token is unavailable', async () => {
  await using registry = await openGuardedRegistry(bearer);
  await using client = openTestClient();
  for (const text of ['null', '{}', '{"token":"a\\r\\nb: c"}', '<html>', '{"token":1}']) {
    const head = `HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n`;
    registry.fault(({ path }) =>
      path.startsWith('/token') ? { kind: 'raw', text: head + text } : undefined,
    );
    await assert.rejects(resolveAs(alice, client, registry), {
      code: 'unavailable',
      message: `the token server ${registry.host} answered without a usable token`,
    });
  }
});

test('a token server that is busy is retried', async () => {
  await using registry = await openGuardedRegistry(bearer);
  await using client = openTestClient();
  registry.fault(({ path, nth }) =>
    path.startsWith('/token') && nth === 1 ? { kind: 'status', status: 503, retryAfter: '1' } : undefined,
  );
  await resolveAs(alice, client, registry);
  assert.equal(countTokens(registry), 2);
});

for (const [what, realm] of [
  ['plain http on another host', 'http://localhost:1/token'],
  ['no address', 'token'],
  ['a file', 'file:///etc/passwd'],
] as const) {
  test(`a realm that is ${what} receives no credential, even though the registry is insecure`, async () => {
    await using registry = await openGuardedRegistry({ ...bearer, realm });
    await using client = openTestClient();
    await assert.rejects(resolveAs(alice, client, registry), {
      code: 'denied',
      message: /names (?:no address of a token server|localhost:1 as its token server, and not by https)/,
    });
  });
}

test('an https realm on another host is verified, even though the registry is insecure', async () => {
  await using registry = await openGuardedRegistry({ ...bearer, realm: 'https://localhost:1/token' });
  await using client = openTestClient();
  await assert.rejects(resolveAs(alice, client, registry), {
    code: 'unavailable',
    message: /localhost:1 cannot be reached \(connect ECONNREFUSED/,
  });
});

test('the headers of an upstream go to a token server of the same origin and to no other', async () => {
  const certificate = makeCertificate();
  await using other = await openFaultyRegistry({ tls: certificate, guard: bearer });
  for (const realm of [undefined, `https://${other.host}/token`]) {
    await using registry = await openGuardedRegistry({
      ...bearer,
      ...(realm === undefined ? {} : { realm }),
    });
    await using client = openTestClient({
      trust: () => toTrust([certificate.cert], []),
      route: ({ path }) => ({
        mirrors: [],
        last: {
          ...toUpstream({ host: registry.host, path, insecure: true }),
          scheme: 'http',
          headers: { 'x-team': 'models' },
        },
      }),
    });
    const resolving = resolveAs(alice, client, registry);
    await (realm === undefined ? resolving : resolving.catch(() => {})); // the registry does not accept its tokens
    const tokens = [registry, other]
      .flatMap(({ asked }) => asked)
      .filter(({ path }) => path.startsWith('/token'));
    assert.deepEqual(
      [...new Set(tokens.map(({ headers }) => headers['x-team']))],
      [realm === undefined ? 'models' : undefined],
    );
    assert.ok(
      registry.asked.every(({ headers }) => headers['x-team'] === 'models'),
      'the registry itself has them always',
    );
  }
});
