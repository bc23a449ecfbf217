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
import { findPause, formatTime, type Pause } from '../../util/pause.ts';
import { toUpstream } from '../config/route.ts';
import { openPauses } from './pauses.ts';
import { TransientError } from './retry.ts';
import { parseRetryAfter } from './retry-after.ts';

const { signal } = new AbortController();

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
const someone = {
  kind: 'basic',
  username: 'a',
  password: 'b',
  source: 'x',
  holder: { kind: 'node' },
} as const;
const limit = (retryAfter: string) =>
  registry.fault(() => ({ kind: 'status', status: 429, retryAfter, ...reason }));

/** The pause for which a request failed. */
async function pauseOf(request: Promise<unknown>): Promise<Pause> {
  return await request.then(
    () => assert.fail('it did not fail'),
    (thrown: unknown) => findPause(thrown) ?? assert.fail(String(thrown)),
  );
}

describe('a registry that asks to wait', () => {
  for (const way of ['resolve', 'manifest', 'has', 'blob'] as const) {
    test(`is not asked before the time, for any request, after a ${way}; then it is`, async () => {
      const { clock, client, ...ways } = open();
      await using _ = client;
      limit('600');
      const least = clock.now() + 600_000;
      const verifyPause = async (by: keyof typeof ways): Promise<void> => {
        const { until, reason } = await pauseOf(ways[by]());
        assert.ok(until >= least && until <= least + 15_000, `${until - least}`);
        assert.equal(reason, `${registry.host} asks to wait until ${formatTime(least)}`);
      };
      await verifyPause(way);
      const asked = registry.asked.length;
      for (const other of ['resolve', 'manifest', 'has', 'blob'] as const) {
        await verifyPause(other);
      }
      assert.equal(registry.asked.length, asked);
      assert.deepEqual(clock.waits, [], 'who can wait waits elsewhere');
      clock.advance(615_001);
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
    const again = String.raw`\d{4}-\S+Z`;
    await assert.rejects(
      client.resolve({ registry: registry.host, path: 'team/other', tag: 'v1' }, anonymous, signal),
      {
        code: 'unavailable',
        message: new RegExp(
          `^${registry.host} is not asked before ${again}, because of its answer to another request of this node: ${registry.host} answered 429 \\(TOOMANYREQUESTS: ${reason.message}\\)$`,
        ),
      },
    );
    assert.match(
      client.pauses().join('\n'),
      new RegExp(
        `^${registry.host} is not asked before ${again}, because of its answer to ${registry.host}/team/model:v1: ${registry.host} answered 429 \\(TOOMANYREQUESTS: ${reason.message}\\)$`,
      ),
    );
    clock.advance(915_001);
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
    await resolve(keyringOf(someone));
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
    assert.match((await pauseOf(resolve())).reason, new RegExp(`^${registry.host} asks to wait`));
    const asked = registry.asked.length;
    clock.advance(5_000);
    mirror.fault(() => undefined);
    assert.equal((await resolve()).servedBy.mirrorOf, 'r.example');
    assert.equal(registry.asked.length, asked);
  });
});

describe('a registry that asks to wait for a few seconds', () => {
  test('again and again is waited for elsewhere after 30 s, and fails when the waits exceed the limit', async () => {
    const { clock, client, resolve, manifest } = open({ retryAfterMaxMs: 900_000 });
    await using _ = client;
    limit('3');
    const start = clock.now();
    const first = await pauseOf(resolve());
    assert.match(first.reason, new RegExp(`^${registry.host} asks to wait until \\S+Z$`));
    assert.ok(clock.now() > start + 20_000 && clock.now() <= start + 30_000);
    const again = async (): Promise<unknown> => await resolve().catch((thrown: unknown) => thrown);
    let failure: unknown;
    for (let pause: Pause | undefined = first; pause !== undefined; pause = findPause(failure)) {
      clock.advance(pause.until - clock.now());
      failure = await again();
    }
    assert.ok(failure instanceof Error);
    assert.match(
      failure.message,
      /answered 429 .*; it would wait for 15 min( \d s)? in all, above --retry-after-max/,
    );
    // The last wait of 3 s ends up to a tenth of it later.
    assert.ok(clock.now() > start + 890_000 && clock.now() <= start + 900_300, `${clock.now() - start}`);
    clock.advance(60_000);
    registry.fault(({ path, nth }) =>
      path.endsWith('/v1') && nth % 2 === 0 ? { kind: 'status', status: 429, retryAfter: '3' } : undefined,
    );
    for (let times = 0; times < 4; times++) await resolve();
    await manifest();
  });

  test('is not asked meanwhile with the same credential; with another it is, and so is another registry', async () => {
    const stop = new Error('it waits');
    const waits: number[] = [];
    const sleep = async (ms: number): Promise<void> => {
      waits.push(ms);
      throw stop;
    };
    const { client, resolve, has, blob } = open({ clock: { ...openFakeClock(), sleep } });
    await using _ = client;
    limit('3');
    await assert.rejects(resolve(), stop);
    const asked = registry.asked.length;
    for (const other of [resolve, has, blob]) await assert.rejects(other(), stop);
    assert.equal(registry.asked.length, asked);
    assert.ok(
      waits.every(ms => ms >= 3_000 && ms <= 3_300),
      waits.join(),
    );
    registry.fault(() => undefined);
    await resolve(keyringOf(someone));
    await client.resolve({ registry: mirror.host, path: 'team/model', tag: 'v1' }, anonymous, signal);
    await assert.rejects(resolve(), stop);
  });
});

test('waits of one request add up, until it is answered', async () => {
  const { clock, client, resolve } = open({ retryAfterMaxMs: 900_000 });
  await using _ = client;
  const refused = async () => {
    limit('600');
    return (await pauseOf(resolve())).until;
  };
  clock.advance((await refused()) - clock.now());
  registry.fault(() => undefined);
  await resolve();
  clock.advance((await refused()) - clock.now());
  await assert.rejects(resolve(), (thrown: unknown) => {
    assert.equal(findPause(thrown), undefined);
    assert.match(String(thrown), /it would wait for 20 min( \d+ s)? in all, above --retry-after-max/);
    return true;
  });
  const other = client.manifest({ registry: registry.host, path: 'team/model' }, manifest, anonymous, signal);
  await pauseOf(other);
});

test('a thousand nodes that wait for one host ask again at times spread over a tenth of the wait, at most 15 s', () => {
  const host = 'r.example';
  const cause = (afterMs: number) => new TransientError('unavailable', 'busy', undefined, afterMs);
  for (const [waitMs, spread] of [
    [60_000, 6_000],
    [600_000, 15_000],
  ] as const) {
    const times = Array.from({ length: 1000 }, () => {
      const pauses = openPauses({ now: () => 0, random: Math.random }, 900_000, () => {});
      return findPause(pauses.toError({ host, secret: {}, subject: 'a' }, cause(waitMs)))?.until ?? 0;
    });
    assert.ok(times.every(time => time >= waitMs && time <= waitMs + spread));
    const tenths = Map.groupBy(times, time => Math.floor((10 * (time - waitMs)) / spread));
    assert.ok(
      tenths.values().every(({ length }) => length < 200),
      'a tenth of the time has a tenth of the nodes',
    );
  }
});

test('a clock that is set back ends a pause, which would last for hours', () => {
  const clock = openFakeClock();
  const pauses = openPauses(clock, 900_000, () => {});
  const request = { host: 'r.example', secret: {}, subject: 'a' };
  pauses.toError(request, new TransientError('unavailable', 'later', undefined, 60_000));
  assert.throws(() => pauses.verify(request));
  assert.equal(pauses.problems().length, 1);
  clock.advance(-7_200_000);
  assert.deepEqual(pauses.problems(), []);
  pauses.verify(request);
  clock.advance(7_200_000);
  pauses.verify(request);
});

test('a token server that asks to wait counts for its registry', async () => {
  await using guarded = await openGuardedRegistry(bearer);
  await using client = openTestClient();
  guarded.fault(({ path }) =>
    path.startsWith('/token') ? { kind: 'status', status: 429, retryAfter: '60' } : undefined,
  );
  const refused = async () => await pauseOf(resolveAs(alice, client, guarded));
  assert.match((await refused()).reason, new RegExp(`^${guarded.host} asks to wait`));
  const asked = guarded.asked.length;
  await refused();
  assert.equal(guarded.asked.length, asked);
});
