import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  alice,
  basic,
  bearer,
  identity,
  openGuardedRegistry,
  resolveAs,
} from '../../../test/support/registry/guarded-registry.ts';
import { nobody, openTestClient } from '../../../test/support/registry/registry-client.ts';

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
