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
import { ArtifactError } from '../../util/error.ts';
import { findPause, formatTime } from '../../util/pause.ts';
import { toUpstream } from '../config/route.ts';
import {
  type Clock,
  openRetryPolicy,
  parseRetryAfter,
  retry,
  TransientError,
  UnreachableError,
} from './retry.ts';

/** A clock that only sleeping advances. */
function fakeClock(random = 0.5): Clock & { readonly waits: number[] } {
  const waits: number[] = [];
  let now = 1_000_000;
  return {
    waits,
    now: () => now,
    random: () => random,
    async sleep(ms) {
      waits.push(ms);
      now += ms;
    },
  };
}

const { signal } = new AbortController();
const busy = (afterMs = 0) => new TransientError('unavailable', 'reg answered 503', undefined, afterMs);

test('waits double from 0.2 s and end after 30 s with the failure, its subject and the number of attempts', async () => {
  const clock = fakeClock();
  const failing = retry(
    () => Promise.reject(busy()),
    openRetryPolicy('reg/a:v1', clock, () => {}),
    signal,
  );
  await assert.rejects(failing, {
    code: 'unavailable',
    message:
      'reg/a:v1: reg answered 503; gave up after 9 tries in 30 s; check the host and the network path to it',
  });
  assert.deepEqual(clock.waits, [200, 400, 800, 1600, 3200, 6400, 12_800, 4600]);
});

test('each wait reports the number of the next attempt and the total', async () => {
  const told: (object | undefined)[] = [];
  const policy = openRetryPolicy('x', fakeClock(), ({ tries }) => told.push(tries));
  await retry(() => Promise.reject(busy()), policy, signal).catch(() => {});
  assert.deepEqual(
    told,
    [2, 3, 4, 5, 6, 7, 8, 9].map(next => ({ next, most: 9 })),
  );
});

test('for a command, an unreachable host is tried twice, and one that answers as often as ever', async () => {
  for (const [failure, tries] of [
    [new UnreachableError('unavailable', 'reg cannot be reached'), 2],
    [
      new TransientError('unavailable', '3 of 9 bytes came', new UnreachableError('unavailable', 'refused')),
      2,
    ],
    [busy(), 9],
  ] as const) {
    const told: (object | undefined)[] = [];
    const policy = openRetryPolicy('reg/a:v1', fakeClock(), retry => told.push(retry.tries), true);
    const failing = retry(() => Promise.reject(failure), policy, signal);
    await assert.rejects(failing, { message: new RegExp(`gave up after ${tries} tries`) });
    assert.deepEqual(told[0], { next: 2, most: tries });
  }
  const daemon = openRetryPolicy('reg/a:v1', fakeClock(), () => {});
  const refused = () => Promise.reject(new UnreachableError('unavailable', 'reg cannot be reached'));
  await assert.rejects(retry(refused, daemon, signal), /gave up after 9 tries in 30 s/);
});

test('jitter is half to one and a half of the wait', async () => {
  for (const [random, first] of [
    [0, 100],
    [0.999, 299.8],
  ] as const) {
    const clock = fakeClock(random);
    await openRetryPolicy('x', clock, () => {}).wait(busy(), signal);
    assert.equal(clock.waits[0], first);
  }
});

test('a server may ask for a longer wait, but not beyond the time limit', async () => {
  const clock = fakeClock();
  const policy = openRetryPolicy('x', clock, () => {});
  await policy.wait(busy(5000), signal);
  await policy.wait(busy(3_600_000), signal);
  assert.deepEqual(clock.waits, [5000, 25_000]);
});

test('three attempts are made however long they take', async () => {
  const clock = fakeClock();
  let tries = 0;
  const slow = retry(
    async () => {
      tries += 1;
      await clock.sleep(60_000, signal);
      throw busy();
    },
    openRetryPolicy('x', clock, () => {}),
    signal,
  );
  await assert.rejects(slow, /gave up after 3 tries in 180 s/);
  assert.equal(tries, 3);
});

test('a permanent error is thrown at once', async () => {
  const clock = fakeClock();
  const failing = retry(
    () => Promise.reject(new ArtifactError('denied', 'no')),
    openRetryPolicy('x', clock, () => {}),
    signal,
  );
  await assert.rejects(failing, { code: 'denied', message: 'no' });
  assert.deepEqual(clock.waits, []);
});

test('Retry-After is parsed as seconds and as a date', () => {
  const now = Date.parse('Wed, 21 Oct 2026 07:28:00 GMT');
  assert.equal(parseRetryAfter('7', now), 7000);
  assert.equal(parseRetryAfter('Wed, 21 Oct 2026 07:28:30 GMT', now), 30_000);
  assert.equal(parseRetryAfter('Wed, 21 Oct 2026 07:27:00 GMT', now), 0);
  assert.equal(parseRetryAfter('soon', now), 0);
  const year = 365 * 24 * 3_600_000;
  assert.equal(parseRetryAfter('9'.repeat(30), now), year);
  assert.equal(parseRetryAfter('Wed, 21 Oct 9999 07:28:00 GMT', now), year);
  assert.equal(parseRetryAfter('-1', now), 0);
  assert.equal(parseRetryAfter(undefined, now), 0);
});

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
      message: /asks to wait until \S+Z \(1 h\); it is asked again at \S+Z, by --retry-after-max$/,
    };
    await assert.rejects(resolve(), refused);
    const asked = registry.asked.length;
    await assert.rejects(resolve(), (thrown: unknown) => {
      assert.equal(findPause(thrown), undefined);
      return true;
    });
    assert.equal(registry.asked.length, asked);
    const again = formatTime(clock.now() + 900_000);
    await assert.rejects(
      client.resolve({ registry: registry.host, path: 'team/other', tag: 'v1' }, anonymous, signal),
      {
        code: 'unavailable',
        message: `${registry.host} is not asked before ${again}, because of its answer to another request of this node: ${registry.host} answered 429 (TOOMANYREQUESTS: ${reason.message})`,
      },
    );
    assert.deepEqual(client.pauses(), [
      `${registry.host} is not asked before ${again}, because of its answer to ${registry.host}/team/model:v1: ${registry.host} answered 429 (TOOMANYREQUESTS: ${reason.message})`,
    ]);
    clock.advance(900_001);
    assert.deepEqual(client.pauses(), []);
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
        message: /asks to wait for a year or longer; it is asked again at \S+Z, by --retry-after-max$/,
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
