import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FaultyRegistry, openFaultyRegistry } from '../../test/support/faulty-registry.ts';
import type { Guard } from '../../test/support/guard.ts';
import {
  anonymous,
  openFakeClock,
  openMemorySink,
  openTestClient,
} from '../../test/support/registry-client.ts';
import type { Credential } from '../oci/credential.ts';
import type { ArtifactError } from '../util/error.ts';
import type { RegistryClient } from './client.ts';

const { signal } = new AbortController();
const alice: Credential = {
  kind: 'basic',
  source: 'nodePublishSecretRef',
  username: 'alice',
  password: 'pass:wörd',
};
const mallory: Credential = { ...alice, source: '--auth-file', password: 'guess-of-mallory' };
const identity: Credential = { kind: 'identity-token', source: '--auth-file', token: 'refresh-me' };

async function openGuarded(guard: Guard): Promise<FaultyRegistry> {
  const registry = await openFaultyRegistry({ guard });
  await registry.push('team/model', 'v1', [{ name: 'a', bytes: Buffer.from('a') }]);
  return registry;
}

function resolve(
  client: RegistryClient,
  registry: FaultyRegistry,
  credential: Credential,
  path = 'team/model',
) {
  return client.resolve({ registry: registry.host, path, tag: 'v1' }, credential, signal);
}

const bearer = {
  kind: 'bearer',
  username: 'alice',
  password: 'pass:wörd',
  refreshToken: 'refresh-me',
} as const;

test('Basic is shown to a registry that asks for it, and then from the start', async () => {
  await using registry = await openGuarded({ kind: 'basic', username: 'alice', password: 'pass:wörd' });
  await using client = openTestClient();
  await resolve(client, registry, alice);
  await resolve(client, registry, alice);
  assert.deepEqual(
    registry.asked.map(({ headers }) => headers.authorization !== undefined),
    [false, true, true],
  );
});

test('a wrong password is unauthenticated and names where it was found, not what it is', async () => {
  await using registry = await openGuarded({ kind: 'basic', username: 'alice', password: 'pass:wörd' });
  await using client = openTestClient();
  const url = `${registry.host}/team/model:v1`;
  await assert.rejects(resolve(client, registry, mallory), {
    code: 'unauthenticated',
    message: `${url}: the credential of --auth-file is not accepted: ${registry.host} answered 401`,
  });
  assert.equal(registry.asked.length, 2);
});

test('nobody is unauthenticated where Basic is asked for', async () => {
  await using registry = await openGuarded({ kind: 'basic', username: 'alice', password: 'pass:wörd' });
  await using client = openTestClient();
  await assert.rejects(resolve(client, registry, anonymous), {
    code: 'unauthenticated',
    message: `${registry.host}/team/model needs a credential (basic); asked as anonymous (no file)`,
  });
});

test('a token serves a repository until it expires', async () => {
  await using registry = await openGuarded({ ...bearer, expiresIn: 100 });
  const clock = openFakeClock();
  await using client = openTestClient({ clock });
  await resolve(client, registry, alice);
  clock.advance(99_000);
  await resolve(client, registry, alice);
  assert.equal(count(registry), 1);
  clock.advance(1000);
  await resolve(client, registry, alice);
  assert.equal(count(registry), 2);
  assert.match(
    registry.asked.find(({ path }) => path.startsWith('/token'))?.path ?? '',
    /^\/token\?service=registry%2C\+of\+tests&scope=repository%3Ateam%2Fmodel%3Apull$/,
  );
});

test('a token whose lifetime is not said is good for 60 s', async () => {
  await using registry = await openGuarded(bearer);
  const clock = openFakeClock();
  await using client = openTestClient({ clock });
  await resolve(client, registry, alice);
  clock.advance(59_999);
  await resolve(client, registry, alice);
  assert.equal(count(registry), 1);
  clock.advance(1);
  await resolve(client, registry, alice);
  assert.equal(count(registry), 2);
});

test('a token of one credential is never used for another, nor one of a repository for another', async () => {
  await using registry = await openGuarded(bearer);
  await registry.push('team/other', 'v1', []);
  await using client = openTestClient();
  await resolve(client, registry, alice);
  await assert.rejects(resolve(client, registry, mallory), { code: 'unauthenticated' });
  await assert.rejects(resolve(client, registry, anonymous), { code: 'unauthenticated' });
  await resolve(client, registry, alice, 'team/other');
  assert.equal(count(registry), 4);
});

test('many requests at once wait for one token, and one that leaves does not take it along', async () => {
  await using registry = await openGuarded({ kind: 'bearer' });
  await using client = openTestClient();
  const abort = new AbortController();
  const reference = { registry: registry.host, path: 'team/model', tag: 'v1' };
  registry.fault(({ path }) => {
    if (path.startsWith('/token')) abort.abort();
    return undefined;
  });
  const leaving = client.resolve(reference, anonymous, abort.signal);
  const staying = Array.from({ length: 20 }, () => resolve(client, registry, anonymous));
  await assert.rejects(leaving, { code: 'cancelled' });
  await Promise.all(staying);
  assert.equal(count(registry), 1);
});

test('a token that is no longer good is renewed once', async () => {
  await using registry = await openGuarded({ ...bearer, uses: 1 });
  await using client = openTestClient();
  await resolve(client, registry, alice);
  await resolve(client, registry, alice);
  assert.equal(count(registry), 2);
});

test('a registry that refuses its own tokens is unauthenticated after one renewal', async () => {
  await using registry = await openGuarded({ ...bearer, accept: false });
  await using client = openTestClient();
  await assert.rejects(resolve(client, registry, alice), {
    code: 'unauthenticated',
    message:
      /team\/model:v1: the credential of nodePublishSecretRef is not accepted: .* answered 401 \(UNAUTHORIZED: authentication required\)$|answered 401$/,
  });
  assert.equal(count(registry), 1);
});

test('a token server that refuses the password is unauthenticated and says whose it is', async () => {
  await using registry = await openGuarded(bearer);
  await using client = openTestClient();
  await assert.rejects(resolve(client, registry, mallory), {
    code: 'unauthenticated',
    message: `a token for ${registry.host}/team/model: the credential of --auth-file is not accepted: ${registry.host} answered 401 (UNAUTHORIZED: wrong credential)`,
  });
});

test('an identity token earns access tokens by POST', async () => {
  await using registry = await openGuarded(bearer);
  await using client = openTestClient();
  await resolve(client, registry, identity);
  assert.equal(registry.count('POST', '/token'), 1);
  await assert.rejects(resolve(client, registry, { ...identity, token: 'stolen-and-void' }), {
    code: 'unauthenticated',
    message: /the credential of --auth-file is not accepted/,
  });
});

test('an identity token is of no use for Basic', async () => {
  await using registry = await openGuarded({ kind: 'basic', username: 'alice', password: 'pass:wörd' });
  await using client = openTestClient();
  await assert.rejects(resolve(client, registry, identity), {
    code: 'unauthenticated',
    message: /asks for basic; the identity-token of --auth-file does not fit$/,
  });
});

test('a token server that is busy is asked again', async () => {
  await using registry = await openGuarded(bearer);
  await using client = openTestClient();
  registry.fault(({ path, nth }) =>
    path.startsWith('/token') && nth === 1 ? { kind: 'status', status: 503, retryAfter: '1' } : undefined,
  );
  await resolve(client, registry, alice);
  assert.equal(count(registry), 2);
});

for (const [what, realm] of [
  ['plain http on another host', 'http://localhost:1/token'],
  ['no address', 'token'],
  ['a file', 'file:///etc/passwd'],
] as const) {
  test(`a realm that is ${what} gets no credential, though the registry is insecure`, async () => {
    await using registry = await openGuarded({ ...bearer, realm });
    await using client = openTestClient();
    await assert.rejects(resolve(client, registry, alice), {
      code: 'denied',
      message: /sends for a token to .*, and not by https; no credential goes there$/,
    });
  });
}

test('a realm of https on another host is verified, though the registry is insecure', async () => {
  await using registry = await openGuarded({ ...bearer, realm: 'https://localhost:1/token' });
  await using client = openTestClient();
  await assert.rejects(resolve(client, registry, alice), {
    code: 'unavailable',
    message: /localhost:1 cannot be reached \(connect ECONNREFUSED/,
  });
});

test('a credential is not taken along to another origin, neither with a redirect nor by a challenge there', async () => {
  const guard = { kind: 'basic', username: 'alice', password: 'pass:wörd' } as const;
  await using registry = await openGuarded(guard);
  await using elsewhere = await openGuarded(guard);
  registry.fault(({ path, headers }) =>
    headers.authorization === undefined
      ? undefined
      : { kind: 'redirect', to: `http://${elsewhere.host}${path}` },
  );
  await using client = openTestClient();
  await assert.rejects(resolve(client, registry, alice), {
    code: 'unavailable',
    message: new RegExp(`team/model:v1: ${elsewhere.host} answered 401`),
  });
  assert.ok(elsewhere.asked.length > 0);
  assert.ok(elsewhere.asked.every(({ headers }) => headers.authorization === undefined));
});

test('a credential goes along within its origin', async () => {
  await using registry = await openGuarded({ kind: 'basic', username: 'alice', password: 'pass:wörd' });
  registry.fault(({ path, headers }) =>
    headers.authorization === undefined || path.includes('?')
      ? undefined
      : { kind: 'redirect', to: `${path}?again` },
  );
  await using client = openTestClient();
  await resolve(client, registry, alice);
});

test('a password in a POST is not sent on by a redirect', async () => {
  await using registry = await openGuarded(bearer);
  await using elsewhere = await openGuarded(bearer);
  registry.fault(({ path }) =>
    path.startsWith('/token') ? { kind: 'redirect', to: `http://${elsewhere.host}/token` } : undefined,
  );
  await using client = openTestClient();
  await assert.rejects(resolve(client, registry, identity), { code: 'unavailable' });
  assert.equal(elsewhere.asked.length, 0);
});

test('redirects without end are given up', async () => {
  await using registry = await openGuarded({ kind: 'bearer' });
  registry.fault(({ path }) => ({ kind: 'redirect', to: `${path}x` }));
  await using client = openTestClient();
  await assert.rejects(resolve(client, registry, anonymous), { code: 'unavailable', message: /redirects/ });
  assert.equal(registry.asked.length, 11);
});

test('no secret is in any error or in any of its causes', async () => {
  for (const guard of [
    { kind: 'basic', username: 'x', password: 'y' },
    { ...bearer, password: 'y', refreshToken: 'y' },
  ] as const) {
    for (const credential of [alice, identity]) {
      for (const status of [undefined, 400, 403, 500]) {
        await using registry = await openGuarded(guard);
        if (status !== undefined)
          registry.fault(({ headers, method }) =>
            headers.authorization !== undefined || method === 'POST'
              ? { kind: 'status', status, message: 'no' }
              : undefined,
          );
        await using client = openTestClient();
        await assert.rejects(resolve(client, registry, credential), (thrown: ArtifactError) => {
          const secrets = ['pass:wörd', 'refresh-me', Buffer.from('alice:pass:wörd').toString('base64')];
          for (let error: unknown = thrown; error instanceof Error; error = error.cause) {
            const text = `${error.message} ${error.stack} ${JSON.stringify(error)}`;
            assert.ok(
              secrets.every(secret => !text.includes(secret)),
              text,
            );
          }
          return true;
        });
      }
    }
  }
});

test('a thousand small blobs of a guarded registry need one token', async () => {
  await using registry = await openGuarded({ kind: 'bearer', expiresIn: 300 });
  const { layers } = await registry.push(
    'team/many',
    'v1',
    Array.from({ length: 1000 }, (_, index) => ({ bytes: Buffer.from(`line ${index}\n`) })),
  );
  await using client = openTestClient();
  await resolve(client, registry, anonymous, 'team/many');
  const left = [...layers];
  const workers = Array.from({ length: 6 }, async () => {
    for (let layer = left.pop(); layer !== undefined; layer = left.pop()) {
      const sink = openMemorySink();
      await client.blob({ registry: registry.host, path: 'team/many' }, layer, sink, anonymous, signal);
      assert.equal(sink.digest(), layer.digest);
    }
  });
  await Promise.all(workers);
  assert.equal(count(registry), 1);
  assert.equal(registry.asked.length, 1000 + 3);
});

function count(registry: FaultyRegistry): number {
  return registry.asked.filter(({ path }) => path.startsWith('/token')).length;
}
