import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { type FaultyRegistry, openFaultyRegistry } from '../../../test/support/registry/faulty-registry.ts';
import {
  alice,
  bearer,
  openGuardedRegistry,
  resolveAs,
} from '../../../test/support/registry/guarded-registry.ts';
import {
  anonymous,
  keyringOf,
  openFakeClock,
  openMemorySink,
  openTestClient,
} from '../../../test/support/registry/registry-client.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { findPause, formatTime } from '../../util/pause.ts';
import { toUpstream } from '../config/upstream.ts';

const { signal } = new AbortController();
const reason = { code: 'TOOMANYREQUESTS', message: 'You have reached your pull rate limit.' };
let registry: FaultyRegistry;
let mirror: FaultyRegistry;
let manifest: Descriptor;
let layer: Descriptor;

before(async () => {
  registry = await openFaultyRegistry();
  mirror = await openFaultyRegistry();
  for (const each of [registry, mirror]) {
    const pushed = await each.push('team/model', 'v1', [{ name: 'a', bytes: Buffer.from('a') }]);
    manifest = pushed.manifest;
    layer = pushed.layers[0] ?? assert.fail();
  }
});
beforeEach(() => {
  registry.reset();
  mirror.reset();
});
after(async () => {
  await registry[Symbol.asyncDispose]();
  await mirror[Symbol.asyncDispose]();
});

function open(options: Partial<Parameters<typeof openTestClient>[0]> = {}) {
  const clock = openFakeClock();
  const client = openTestClient({ clock, ...options });
  const name = { registry: registry.host, path: 'team/model' };
  return {
    clock,
    client,
    resolve: async (keyring = anonymous) => await client.resolve({ ...name, tag: 'v1' }, keyring, signal),
    manifest: async () => await client.manifest(name, manifest, anonymous, signal),
    has: async () => await client.has(name, { kind: 'blob', descriptor: layer }, anonymous, signal),
    blob: async () => await client.blob(name, layer, openMemorySink(), anonymous, signal),
  };
}
const limit = (retryAfter: string) =>
  registry.fault(() => ({ kind: 'status', status: 429, retryAfter, ...reason }));

describe('a registry that asks to wait', () => {
  for (const way of ['resolve', 'manifest', 'has', 'blob'] as const) {
    test(`is not asked before the time, for any request, after a ${way}; then it is`, async () => {
      const { clock, client, ...ways } = open();
      await using _ = client;
      limit('600');
      const until = clock.now() + 600_000;
      const pauseOf = async (by: keyof typeof ways) =>
        await ways[by]().then(
          () => assert.fail(),
          (thrown: unknown) => findPause(thrown),
        );
      assert.deepEqual(await pauseOf(way), { host: registry.host, until });
      const asked = registry.asked.length;
      for (const other of ['resolve', 'manifest', 'has', 'blob'] as const) {
        assert.deepEqual(await pauseOf(other), { host: registry.host, until });
      }
      assert.equal(registry.asked.length, asked);
      assert.deepEqual(clock.waits, [], 'who can wait waits elsewhere');
      clock.advance(600_001);
      registry.fault(() => undefined);
      await ways[way]();
    });
  }

  test('is reported with its reason and the time', async () => {
    const { clock, client, resolve } = open();
    await using _ = client;
    limit('600');
    const time = formatTime(clock.now() + 600_000);
    await assert.rejects(resolve(), {
      code: 'unavailable',
      message: `${registry.host} answered 429 (TOOMANYREQUESTS: ${reason.message}); ${registry.host} asks to wait until ${time}`,
    });
  });

  test('for longer than the limit fails at once, and is asked again after the limit', async () => {
    const { clock, client, resolve } = open({ retryAfterMaxMs: 900_000 });
    await using _ = client;
    limit('3600');
    const refused = {
      code: 'unavailable',
      message: /asks to wait until \S+Z, which is 1 h and more than --retry-after-max/,
    };
    await assert.rejects(resolve(), refused);
    const asked = registry.asked.length;
    await assert.rejects(resolve(), (thrown: unknown) => {
      assert.equal(findPause(thrown), undefined);
      return true;
    });
    assert.equal(registry.asked.length, asked);
    clock.advance(900_001);
    registry.fault(() => undefined);
    await resolve();
  });

  for (const header of ['9'.repeat(400), 'Fri, 31 Dec 9999 23:59:59 GMT', String(366 * 24 * 3600)]) {
    test(`that asks to wait for Retry-After ${header.slice(0, 30)} is reported with a year or longer`, async () => {
      const { client, resolve } = open();
      await using _ = client;
      limit(header);
      await assert.rejects(resolve(), {
        code: 'unavailable',
        message: /asks to wait for a year or longer, which is more than --retry-after-max; /,
      });
    });
  }

  test('does so for one credential alone', async () => {
    const { client, resolve } = open();
    await using _ = client;
    limit('600');
    await assert.rejects(resolve());
    registry.fault(() => undefined);
    const source = 'x';
    await resolve(
      keyringOf({ kind: 'basic', username: 'a', password: 'b', source, holder: { kind: 'node' } }),
    );
    await assert.rejects(resolve());
  });

  test('is not asked for the whole blob in its place', async () => {
    const { client } = open();
    await using _ = client;
    limit('600');
    const sink = openMemorySink(Buffer.from(''));
    const name = { registry: registry.host, path: 'team/model' };
    await assert.rejects(client.blob(name, { ...layer, size: 1 }, sink, anonymous, signal));
    assert.equal(registry.asked.length, 1);
  });

  test('is not waited for if a mirror answers, and mirrors are asked meanwhile', async () => {
    const upstream = (host: string) => toUpstream({ host, path: 'team/model', insecure: true });
    const { clock, client, resolve } = open({
      route: () => ({
        mirrors: [{ ...upstream(mirror.host), mirrorOf: 'r.example' }],
        last: upstream(registry.host),
      }),
    });
    await using _ = client;
    limit('600');
    mirror.fault(() => ({ kind: 'status', status: 404 }));
    await assert.rejects(resolve(), (thrown: unknown) => findPause(thrown)?.host === registry.host);
    const asked = registry.asked.length;
    clock.advance(15_000);
    mirror.fault(() => undefined);
    assert.equal((await resolve()).servedBy.mirrorOf, 'r.example');
    assert.equal(registry.asked.length, asked);
  });
});

test('a token server that asks to wait counts for its registry', async () => {
  await using guarded = await openGuardedRegistry(bearer);
  await using client = openTestClient();
  guarded.fault(({ path }) =>
    path.startsWith('/token') ? { kind: 'status', status: 429, retryAfter: '60' } : undefined,
  );
  const refused = async () =>
    await resolveAs(alice, client, guarded).then(
      () => assert.fail(),
      (thrown: unknown) => findPause(thrown),
    );
  assert.equal((await refused())?.host, guarded.host);
  const asked = guarded.asked.length;
  await refused();
  assert.equal(guarded.asked.length, asked);
});
