import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { createServer as createHttpServer } from '../../../test/support/os/http.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../../../test/support/registry/faulty-registry.ts';
import { openTestProxy } from '../../../test/support/registry/proxy.ts';
import {
  anonymous,
  keyringOf,
  nobody,
  openFakeClock,
  openMemorySink,
  openTestClient,
} from '../../../test/support/registry/registry-client.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import type { OriginGate } from '../../ports/origin.ts';
import { ArtifactError } from '../../util/error.ts';
import { findPause, formatTime } from '../../util/pause.ts';
import type { RegistryClient, RegistryOptions } from '../client.ts';
import { toUpstream, type Upstream } from '../config/route.ts';
import { noProxies, parseProxies } from '../http/egress.ts';

const { signal } = new AbortController();
const name = { registry: 'hub.example', path: 'team/model' };
const tag = { ...name, tag: 'v1' };
const contents = { small: randomBytes(300_000), large: randomBytes(5 * 1024 * 1024) };
const sources = [{ bytes: contents.small }, { bytes: contents.large }];
let first: FaultyRegistry;
let second: FaultyRegistry;
let home: FaultyRegistry;
let manifest: Digest;
let layers: Readonly<Record<'small' | 'large', Descriptor>>;

before(async () => {
  [first, second, home] = await Promise.all([
    openFaultyRegistry(),
    openFaultyRegistry(),
    openFaultyRegistry(),
  ]);
  for (const registry of [first, second, home]) {
    const pushed = await registry.push(name.path, 'v1', sources);
    const [small, large] = pushed.layers;
    assert.ok(small !== undefined && large !== undefined);
    manifest = pushed.digest;
    layers = { small, large };
  }
});
beforeEach(() => {
  for (const registry of [first, second, home]) registry.reset();
});
after(async () => {
  for (const registry of [first, second, home]) await registry[Symbol.asyncDispose]();
});

const at = (registry: FaultyRegistry | string, over: Partial<Upstream> = {}): Upstream => ({
  ...toUpstream({
    host: typeof registry === 'string' ? registry : registry.host,
    path: name.path,
    insecure: true,
  }),
  scheme: 'http',
  ...over,
});
const mirrorAt = (registry: FaultyRegistry | string, over: Partial<Upstream> = {}): Upstream =>
  at(registry, { mirrorOf: name.registry, ...over });

function openClient(options: Partial<RegistryOptions> = {}): RegistryClient {
  const route = () => ({ mirrors: [mirrorAt(first), mirrorAt(second)], last: at(home) });
  return openTestClient({ route, ...options });
}

const asked = (registry: FaultyRegistry) =>
  registry.asked.map(({ method, path, headers }) =>
    [method, path.replace(`/v2/${name.path}/`, '').replace(/sha256:\w+/, 'D'), headers.range]
      .join(' ')
      .trim(),
  );

async function pull(
  client: RegistryClient,
  size: 'small' | 'large',
  sink = openMemorySink(),
  keyring = anonymous,
): Promise<void> {
  await client.blob(name, layers[size], sink, keyring, signal);
  assert.equal(sink.digest(), layers[size].digest);
}

/** A server that accepts connections and never sends a byte. */
async function openSilence(): Promise<AsyncDisposable & { readonly host: string; connections(): number }> {
  const sockets: Socket[] = [];
  const server = createServer(socket => void sockets.push(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => sockets.length,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}

/** A server that answers every range with its first `most` bytes. */
async function openParts(bytes: Buffer, most: number): Promise<AsyncDisposable & { readonly host: string }> {
  const server = createHttpServer(({ headers }, answer) => {
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1]);
    const part = bytes.subarray(from, from + most);
    answer.writeHead(206, {
      'content-length': part.length,
      'content-range': `bytes ${from}-${from + part.length - 1}/${bytes.length}`,
    });
    answer.end(part);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** Verifies its content and starts again if that is wrong, as the cache does. */
function openVerifier(digest: string, held?: Uint8Array) {
  const sink = openMemorySink(held);
  return Object.assign(sink, {
    async verify() {
      if (sink.digest() === digest) return;
      sink.restart();
      throw new ArtifactError('corrupt', 'the bytes have another digest');
    },
  });
}

describe('mirrors are asked in order', () => {
  test('and the first that answers is enough; each learns which registry is meant', async () => {
    await using client = openClient();
    const found = await client.resolve(tag, anonymous, signal);
    assert.equal(found.descriptor.digest, manifest);
    assert.equal(found.servedBy.mirrorOf, name.registry);
    const { servedBy } = await client.manifest(name, found.descriptor, anonymous, signal);
    assert.equal(servedBy.mirrorOf, name.registry);
    await pull(client, 'small');
    assert.deepEqual(asked(first), [
      'HEAD manifests/v1?ns=hub.example',
      'GET manifests/D?ns=hub.example',
      'GET blobs/D?ns=hub.example',
    ]);
    assert.deepEqual([asked(second), asked(home)], [[], []]);
  });

  test('then the registry, which is asked without ns', async () => {
    await using client = openClient();
    for (const registry of [first, second]) registry.fault(() => ({ kind: 'status', status: 404 }));
    await client.resolve(tag, anonymous, signal);
    await pull(client, 'large');
    const mirrored = ['HEAD manifests/v1', 'GET manifests/v1', 'GET blobs/D'];
    for (const registry of [first, second]) {
      assert.deepEqual(
        asked(registry),
        mirrored.map(line => `${line}?ns=hub.example`),
      );
    }
    assert.deepEqual(asked(home), ['HEAD manifests/v1', 'GET blobs/D']);
  });

  test('and one that does not connect within its own time limit is skipped', async () => {
    // It accepts the connection and sends nothing: TLS never begins.
    await using silent = await openSilence();
    await using client = openClient({
      route: () => ({
        mirrors: [mirrorAt(silent.host, { scheme: 'https', connectMs: 200 })],
        last: at(home),
      }),
    });
    const started = performance.now();
    await client.resolve(tag, anonymous, signal);
    assert.ok(performance.now() - started < 5_000, 'and not the usual 10 s');
    assert.equal(silent.connections(), 1);
    assert.deepEqual(asked(home), ['HEAD manifests/v1']);
  });

  test('but existence is checked at the registry alone', async () => {
    await using client = openClient();
    const content = { kind: 'blob', descriptor: layers.small } as const;
    assert.deepEqual(await client.has(name, content, anonymous, signal), { isOpen: true });
    assert.deepEqual([asked(first), asked(second), asked(home)], [[], [], ['HEAD blobs/D']]);
  });

  test('or at the registry as listed among the hosts, which has its certificates', async () => {
    const route = () => ({ mirrors: [mirrorAt(first), at(home)], last: at('127.0.0.1:1') });
    await using client = openClient({ route });
    const content = { kind: 'blob', descriptor: layers.small } as const;
    assert.deepEqual(await client.has(name, content, anonymous, signal), { isOpen: true });
    assert.deepEqual([asked(first), asked(home)], [[], ['HEAD blobs/D']]);
  });

  test('port, root and headers of a mirror are its own', async () => {
    const over = { path: `x/${name.path}`, root: '/api/v2', headers: { 'x-team': 'S3CRET' } };
    await using client = openClient({
      route: () => ({
        mirrors: [mirrorAt(first, { ...over, mirrorOf: 'hub.example:5000' })],
        last: at(home),
      }),
    });
    first.fault(({ path }) => ({ kind: 'redirect', to: `http://${second.host}${path}` }));
    await client.resolve(tag, anonymous, signal);
    assert.equal(first.asked[0]?.path, `/api/v2/x/${name.path}/manifests/v1?ns=hub.example%3A5000`);
    assert.equal(first.asked[0]?.headers['x-team'], 'S3CRET');
    assert.ok(second.asked.length > 0);
    for (const registry of [second, home]) {
      assert.ok(registry.asked.every(({ headers }) => headers['x-team'] === undefined));
    }
  });
});

describe('a mirror that fails', () => {
  test('is skipped for 30 s, then for 60 s, and an answer resets it', async () => {
    const clock = openFakeClock();
    const rests: string[] = [];
    await using client = openClient({
      clock,
      onRest: ({ mirror, restMs }) => rests.push(`${mirror} ${restMs}`),
      route: () => ({ mirrors: [mirrorAt(first)], last: at(home) }),
    });
    const requests = async () => {
      await client.resolve(tag, anonymous, signal);
      return first.asked.length;
    };
    first.fault(() => ({ kind: 'status', status: 503 }));
    assert.equal(await requests(), 2);
    assert.equal(await requests(), 2);
    clock.advance(29_000);
    assert.equal(await requests(), 2);
    clock.advance(2_000);
    assert.equal(await requests(), 4);
    clock.advance(59_000);
    assert.equal(await requests(), 4);
    clock.advance(2_000);
    first.fault(() => undefined);
    assert.equal(await requests(), 5);
    first.fault(() => ({ kind: 'raw', text: '' }));
    assert.equal(await requests(), 7); // on the connection that it ended, and on a new one
    assert.deepEqual(
      rests,
      [30_000, 60_000, 30_000].map(ms => `${first.host} ${ms}`),
    );
    assert.deepEqual(clock.waits, [], 'nobody waited');
  });

  test('for many requests at once counts as one failure', async () => {
    const rests: number[] = [];
    await using client = openClient({ onRest: ({ restMs }) => rests.push(restMs) });
    first.fault(() => ({ kind: 'status', status: 429 }));
    await Promise.all(Array.from({ length: 8 }, () => client.resolve(tag, anonymous, signal)));
    assert.deepEqual(rests, [30_000]);
  });

  test('is skipped as long as it asks', async () => {
    const clock = openFakeClock();
    await using client = openClient({ clock });
    first.fault(() => ({ kind: 'status', status: 429, retryAfter: '300' }));
    await client.resolve(tag, anonymous, signal);
    clock.advance(299_000);
    await client.resolve(tag, anonymous, signal);
    assert.equal(first.asked.length, 2);
  });

  test('because nothing listens is skipped at once', async () => {
    await using client = openClient({
      route: () => ({ mirrors: [mirrorAt('127.0.0.1:1')], last: at(home) }),
    });
    await pull(client, 'large');
    assert.deepEqual(asked(home), ['GET blobs/D']);
  });

  test('with 404 lacks only this digest: it is asked for the next', async () => {
    await using client = openClient();
    first.fault(({ path }) =>
      path.includes(layers.small.digest) ? { kind: 'status', status: 404 } : undefined,
    );
    await pull(client, 'small');
    await pull(client, 'large');
    assert.equal(first.asked.length, 2);
    assert.deepEqual(asked(second), ['GET blobs/D?ns=hub.example']);
  });

  for (const status of [401, 403]) {
    test(`with ${status} is skipped for the refused caller, in this repository`, async () => {
      await using client = openClient();
      first.fault(() => ({ kind: 'status', status }));
      await pull(client, 'small');
      await pull(client, 'small');
      assert.equal(first.asked.length, 1);
      await pull(client, 'small', openMemorySink(), keyringOf({ ...nobody, source: 'somebody else' }));
      assert.equal(first.asked.length, 2);
    });
  }
});

for (const size of ['small', 'large'] as const) {
  const length = contents[size].length;

  describe(`of a ${size} blob`, () => {
    test('the next upstream continues at the byte where a mirror failed', async () => {
      first.fault(({ nth }) => (nth === 1 ? { kind: 'cut', after: 100_000 } : { kind: 'raw', text: '' }));
      second.fault(({ nth }) => (nth === 1 ? { kind: 'cut', after: 50_000 } : { kind: 'raw', text: '' }));
      await using client = openClient();
      await pull(client, size, openVerifier(layers[size].digest));
      assert.deepEqual(asked(first).slice(0, 2), [
        'GET blobs/D?ns=hub.example',
        'GET blobs/D?ns=hub.example bytes=100000-',
      ]);
      assert.equal(asked(second)[0], 'GET blobs/D?ns=hub.example bytes=100000-');
      assert.deepEqual(asked(home), ['GET blobs/D bytes=150000-']);
    });

    for (const [what, text] of [
      ['has a page in its place', 'HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nsign in'],
      [
        'has a page of unknown length in its place',
        'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\nsign in\r\n0\r\n\r\n',
      ],
      ['does not support a resume', 'HTTP/1.1 416 Range Not Satisfiable\r\ncontent-length: 0\r\n\r\n'],
      [
        'sends another part',
        `HTTP/1.1 206 Partial Content\r\ncontent-length: 1\r\ncontent-range: bytes 0-0/${length}\r\n\r\nx`,
      ],
      ['starts over and is cut', `HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\nstart`],
    ] as const) {
      test(`a mirror that ${what} keeps what the sink already has`, async () => {
        first.fault(() => ({ kind: 'raw', text }));
        await using client = openClient();
        const sink = openMemorySink(contents[size].subarray(0, 100_000));
        await pull(client, size, sink);
        assert.equal(sink.restarts, 0);
        assert.deepEqual(asked(second), ['GET blobs/D?ns=hub.example bytes=100000-']);
      });
    }

    test('a mirror that sends it in parts loses none of them when it is abandoned', async () => {
      await using mirror = await openParts(contents[size], 1000);
      await using client = openClient({
        route: () => ({ mirrors: [mirrorAt(mirror.host), mirrorAt(second)], last: at(home) }),
      });
      const sink = openMemorySink(contents[size].subarray(0, 100_000));
      await pull(client, size, sink);
      assert.equal(sink.restarts, 0);
      assert.deepEqual(asked(second), ['GET blobs/D?ns=hub.example bytes=109000-']);
    });

    test('a page after a mirror was cut keeps what the mirror sent', async () => {
      const page = { kind: 'raw', text: 'HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nsign in' } as const;
      first.fault(({ nth }) => (nth === 1 ? { kind: 'cut', after: 100_000 } : page));
      await using client = openClient();
      await pull(client, size);
      assert.deepEqual(asked(second), ['GET blobs/D?ns=hub.example bytes=100000-']);
    });

    test('a mirror whose peer left is asked to continue, and keeps its health', async () => {
      first.fault(({ nth }) => (nth <= 3 ? { kind: 'cut', after: 65_536 } : undefined));
      await using client = openClient();
      await pull(client, size);
      await pull(client, size);
      assert.deepEqual([asked(second), asked(home)], [[], []]);
    });

    test('a mirror that is cut for ever is abandoned', async () => {
      first.fault(() => ({ kind: 'cut', after: 1000 }));
      await using client = openClient();
      await pull(client, size);
      assert.equal(first.asked.length, 9);
      assert.deepEqual(asked(second), ['GET blobs/D?ns=hub.example bytes=9000-']);
    });

    test('a mirror that stalls is abandoned at its first stall', async () => {
      first.fault(() => ({ kind: 'stall', after: 100_000 }));
      await using client = openClient({ stallMs: 1_000 });
      await pull(client, size);
      await pull(client, size);
      assert.equal(first.asked.length, 1);
      assert.equal(asked(second)[0], 'GET blobs/D?ns=hub.example bytes=100000-');
    });

    test('a mirror with a wait that has it not withholds the registry for that time, from blobs alone', async () => {
      const clock = openFakeClock();
      const mirrors = [mirrorAt(first, { waitMs: 60_000 }), mirrorAt(second)];
      await using client = openClient({ clock, route: () => ({ mirrors, last: at(home) }) });
      for (const mirror of [first, second]) mirror.fault(() => ({ kind: 'status', status: 404 }));
      const pause = async () =>
        await pull(client, size).then(
          () => assert.fail('it came'),
          (thrown: unknown) => findPause(thrown) ?? assert.fail(String(thrown)),
        );
      const until = clock.now() + 63_000;
      const reason = `mirror ${first.host} has it not yet; hub.example is asked from ${formatTime(until)} on`;
      assert.deepEqual(await pause(), { until, reason });
      assert.match(
        client.pauses().join(),
        new RegExp(`^hub\\.example is not asked before .* ${first.host}/team/model `),
      );
      await client
        .manifest(name, { ...layers.small, digest: manifest, size: 0 }, anonymous, signal)
        .catch(() => {});
      assert.match(asked(home).join(), /^GET manifests\/D/);
      home.reset();
      clock.advance(5_000);
      assert.deepEqual(await pause(), { until, reason });
      assert.deepEqual(asked(home), []);
      first.fault(() => undefined);
      await pull(client, size);
      assert.deepEqual(asked(home), []);
      first.fault(() => ({ kind: 'status', status: 404 }));
      clock.advance(until - clock.now());
      await pull(client, size);
      assert.deepEqual(asked(home), ['GET blobs/D']);
    });

    test('bytes of a mirror are told to the slots of the registry, and those of the registry are not', async () => {
      const came: string[] = [];
      const gate: OriginGate = {
        enter: async () => ({ [Symbol.dispose]() {} }),
        came: ({ host, path }) => void came.push(`${host}/${path}`),
      };
      const route = () => ({ mirrors: [mirrorAt(first, { path: 'cached' })], last: at(home) });
      await using client = openClient({ gate, route });
      await pull(client, size);
      assert.deepEqual([asked(home).length, came], [1, []], 'the mirror has it not');
      await using other = openClient({ gate });
      await pull(other, size);
      assert.deepEqual(new Set(came), new Set([`${home.host}/${name.path}`]));
    });

    test('a silent mirror with a wait is asked again, and rests when the wait is over', async () => {
      const clock = openFakeClock();
      const mirrors = [mirrorAt(first, { waitMs: 60_000, responseMs: 200 })];
      await using client = openClient({ clock, route: () => ({ mirrors, last: at(home) }) });
      first.fault(() => ({ kind: 'late', ms: 3_000 }));
      for (const times of [1, 2]) {
        await assert.rejects(pull(client, size), /has it not yet; hub\.example is asked from/);
        assert.deepEqual([asked(first).length, asked(home)], [times, []]);
        clock.advance(5_000);
      }
      clock.advance(60_000);
      await pull(client, size);
      await pull(client, size);
      assert.deepEqual([asked(first).length, asked(home)], [3, ['GET blobs/D', 'GET blobs/D']]);
    });

    for (const [what, fault] of [
      ['is dead', { kind: 'raw', text: '' }],
      ['sends wrong bytes', { kind: 'wrong-bytes' }],
    ] as const) {
      test(`a mirror with a wait that ${what} does not withhold the registry`, async () => {
        const mirrors = [mirrorAt(first, { waitMs: 60_000 })];
        await using client = openClient({ route: () => ({ mirrors, last: at(home) }) });
        first.fault(() => fault);
        await pull(client, size);
        await pull(client, size);
        assert.deepEqual(asked(home).at(-1), 'GET blobs/D');
      });
    }

    for (const way of ['directly', 'through a proxy'] as const) {
      test(`a mirror may be silent for its response_timeout before its first byte, and no longer, ${way}`, async () => {
        await using proxy = await openTestProxy();
        const proxies = way === 'directly' ? noProxies : parseProxies({ HTTP_PROXY: proxy.url });
        const mirror = (responseMs: number) =>
          mirrorAt(way === 'directly' ? first : first.host.replace('127.0.0.1', 'm.test'), { responseMs });
        first.fault(() => ({ kind: 'late', ms: 900 }));
        // A rate cannot be measured before there are bytes.
        const leastRate = { bytesPerSecond: 1_000, overMs: 300 };
        const options = { proxies, leastRate, stallMs: 400 };
        await using patient = openClient({
          ...options,
          route: () => ({ mirrors: [mirror(20_000)], last: at(home) }),
        });
        await pull(patient, size);
        assert.deepEqual([asked(first).length, asked(home).length], [1, 0]);
        first.fault(() => ({ kind: 'late', ms: 3_000 }));
        await using hasty = openClient({
          ...options,
          stallMs: 20_000,
          route: () => ({ mirrors: [mirror(200)], last: at(home) }),
        });
        await pull(hasty, size);
        assert.deepEqual([asked(first).length, asked(home)], [2, ['GET blobs/D']]);
        assert.equal(proxy.asked.length, way === 'directly' ? 0 : 2);
      });
    }

    for (const [what, fault] of [
      ['sends wrong bytes', { kind: 'wrong-bytes' }],
      ['sends too many bytes', { kind: 'chunked', bytes: length + 100_000 }],
      ['announces another length', { kind: 'headers', headers: { 'content-length': '10' } }],
    ] as const) {
      for (const verifies of ['verifies', 'does not verify'] as const) {
        test(`a mirror that ${what} is detected with a sink that ${verifies}, and skipped`, async () => {
          first.fault(() => fault);
          await using client = openClient();
          const { digest } = layers[size];
          await pull(client, size, verifies === 'verifies' ? openVerifier(digest) : openMemorySink());
          const times = first.asked.length;
          await pull(client, size);
          assert.equal(first.asked.length, times);
          assert.equal(second.asked.length, 2);
          assert.deepEqual(asked(home), []);
        });
      }
    }

    test('of two mirrors that both sent part of wrong content, neither is asked again for it, and neither is skipped', async () => {
      first.fault(({ headers }) =>
        headers.range === undefined ? { kind: 'cut', after: 100_000 } : { kind: 'status', status: 404 },
      );
      second.fault(({ headers }) => (headers.range === undefined ? undefined : { kind: 'wrong-bytes' }));
      await using client = openClient();
      await pull(client, size, openVerifier(layers[size].digest));
      assert.deepEqual(asked(home), ['GET blobs/D']);
      first.fault(() => ({ kind: 'status', status: 404 }));
      await pull(client, size);
      assert.equal(asked(second).at(-1), 'GET blobs/D?ns=hub.example');
    });

    test('content that was wrong before is not counted against the mirror', async () => {
      await using client = openClient();
      const wrong = Buffer.alloc(1000);
      await pull(client, size, openVerifier(layers[size].digest, wrong));
      await pull(client, size);
      assert.equal(asked(first)[0], 'GET blobs/D?ns=hub.example bytes=1000-');
      assert.equal(asked(second)[0], 'GET blobs/D?ns=hub.example');
      assert.equal(asked(first).at(-1), 'GET blobs/D?ns=hub.example', 'it is asked for the next blob');
    });

    test('wrong bytes of the registry itself are left to the sink', async () => {
      for (const registry of [first, second]) registry.fault(() => ({ kind: 'status', status: 404 }));
      home.fault(() => ({ kind: 'wrong-bytes' }));
      await using client = openClient();
      const sink = openMemorySink();
      await client.blob(name, layers[size], sink, anonymous, signal);
      assert.equal(sink.offset, length);
      assert.notEqual(sink.digest(), layers[size].digest);
    });

    test('an error of the sink is not a mirror’s failure: no other upstream is asked', async () => {
      const full = new ArtifactError('exhausted', 'the disk is full');
      const sink = openMemorySink();
      sink.write = () => {
        throw full;
      };
      await using client = openClient();
      await assert.rejects(client.blob(name, layers[size], sink, anonymous, signal), full);
      assert.deepEqual([first.asked.length, second.asked.length, home.asked.length], [1, 0, 0]);
    });
  });
}

for (const size of ['small', 'large'] as const) {
  test(`the source of a ${size} blob is reported: a mirror, or the registry if it sent any of it`, async () => {
    const give = async () => {
      await using client = openClient();
      return (await client.blob(name, layers[size], openMemorySink(), anonymous, signal)).mirrorOf;
    };
    assert.equal(await give(), name.registry);
    for (const mirror of [first, second]) {
      mirror.fault(({ nth }) => (nth === 1 ? { kind: 'cut', after: 1000 } : { kind: 'raw', text: '' }));
    }
    assert.equal(await give(), undefined);
    assert.match(asked(home).at(-1) ?? '', /^GET blobs\/D bytes=\d+-$/);
    home.reset();
    for (const mirror of [first, second]) mirror.fault(() => ({ kind: 'status', status: 404 }));
    assert.equal(await give(), undefined);
  });
}

test('a manifest with wrong bytes is requested from the next upstream', async () => {
  await using client = openClient();
  const { descriptor } = await client.resolve(tag, anonymous, signal);
  first.fault(() => ({ kind: 'wrong-bytes' }));
  const { servedBy } = await client.manifest(name, descriptor, anonymous, signal);
  assert.equal(servedBy.mirrorOf, name.registry, 'the other mirror');
  assert.deepEqual(asked(second), ['GET manifests/D?ns=hub.example']);
});

test('after an abort the next mirror is not asked', async () => {
  const leaving = new AbortController();
  first.fault(() => {
    leaving.abort();
    return { kind: 'stall', after: 0 };
  });
  await using client = openClient();
  const pulling = client.blob(name, layers.large, openMemorySink(), anonymous, leaving.signal);
  await assert.rejects(pulling, { code: 'cancelled' });
  assert.equal(second.asked.length + home.asked.length, 0);
});

test('the final error names every upstream with its reason, and has the code of the registry', async () => {
  first.fault(() => ({ kind: 'status', status: 503 }));
  second.fault(() => ({ kind: 'status', status: 403 }));
  home.fault(() => ({ kind: 'status', status: 404 }));
  await using client = openClient();
  const subject = 'hub.example/team/model:v1';
  const end = `${subject} does not exist: ${home.host} answered 404 (UNKNOWN: a fault for the test); asked as anonymous (no file); if it is private, give a credential: some registries answer 404 without one`;
  await assert.rejects(client.resolve(tag, anonymous, signal), {
    code: 'not-found',
    message: `${first.host} answered 503 (UNKNOWN: a fault for the test); it is refused; asked as anonymous (no file): ${second.host} answered 403 (UNKNOWN: a fault for the test); name a pull secret of the pod's namespace in volumes[].csi.nodePublishSecretRef, or give the …; then ${end}`,
  });
  await assert.rejects(client.resolve(tag, anonymous, signal), {
    code: 'not-found',
    message: new RegExp(
      `^${first.host} is skipped for a while \\(.*503.*\\); ${second.host} is skipped.*; then ${subject} does not exist`,
    ),
  });
});

test('a credential is looked up for each upstream, and goes to that upstream alone', async () => {
  const keyring = {
    id: 'each',
    find: async ({ host, mirrorOf }: { host: string; mirrorOf?: string }) => ({
      kind: 'basic' as const,
      source: 'a test',
      holder: { kind: 'secret' as const },
      username: host,
      password: mirrorOf ?? 'none',
    }),
  };
  const basic = { kind: 'basic', username: 'nobody', password: 'knows' } as const;
  await using guarded = await openFaultyRegistry({ guard: basic });
  await using own = await openFaultyRegistry({ guard: basic });
  await using client = openClient({ route: () => ({ mirrors: [mirrorAt(guarded)], last: at(own) }) });
  await assert.rejects(client.resolve(tag, keyring, signal), { code: 'unauthenticated' });
  const shown = (registry: FaultyRegistry) =>
    new Set(registry.asked.flatMap(({ headers }) => headers.authorization ?? []));
  const header = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
  assert.deepEqual(shown(guarded), new Set([header(`${guarded.host}:hub.example`)]));
  assert.deepEqual(shown(own), new Set([header(`${own.host}:none`)]));
});
