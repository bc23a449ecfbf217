import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { type FaultyRegistry, openFaultyRegistry } from '../../test/support/faulty-registry.ts';
import {
  anonymous,
  openFakeClock,
  openMemorySink,
  openTestClient,
} from '../../test/support/registry-client.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { ArtifactError } from '../util/error.ts';

const { signal } = new AbortController();
/** One blob for the pool of connections, one for a connection of its own. */
const bytes = { small: randomBytes(300_000), large: randomBytes(5 * 1024 * 1024) };
const path = 'team/model';
let registry: FaultyRegistry;
let store: FaultyRegistry;
let descriptors: { small: Descriptor; large: Descriptor };

before(async () => {
  registry = await openFaultyRegistry();
  store = await openFaultyRegistry();
  const sources = [{ bytes: bytes.small }, { bytes: bytes.large }];
  const [small, large] = (await registry.push(path, 'v1', sources)).layers;
  await store.push(path, 'v1', sources);
  assert.ok(small !== undefined && large !== undefined);
  descriptors = { small, large };
});
beforeEach(() => {
  registry.reset();
  store.reset();
});
after(async () => {
  await registry[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
});

const held = (size: keyof typeof bytes, length: number) => openMemorySink(bytes[size].subarray(0, length));
const ranges = () => registry.asked.map(({ headers }) => headers.range);

for (const size of ['small', 'large'] as const) {
  const { length } = bytes[size];

  async function pull(sink = openMemorySink(), clock = openFakeClock(), stallMs = 30_000) {
    await using client = openTestClient({ clock, stallMs });
    const repository = { registry: registry.host, path };
    await client.blob(repository, descriptors[size], sink, anonymous, signal);
    assert.equal(sink.offset, length);
    assert.equal(sink.digest(), descriptors[size].digest);
    return { sink, clock };
  }
  const subject = () => `${registry.host}/${path}@${descriptors[size].digest}`;

  test(`a ${size} blob comes whole, in one request without Range`, async () => {
    await pull();
    assert.deepEqual(ranges(), [undefined]);
  });

  test(`a ${size} blob goes on from where its sink is`, async () => {
    await pull(held(size, length - 70_000));
    assert.deepEqual(ranges(), [`bytes=${length - 70_000}-`]);
  });

  test(`a ${size} blob cut at every 64 KiB arrives, without one wait`, async () => {
    registry.fault(() => ({ kind: 'cut', after: 65_536 }));
    const { clock } = await pull();
    assert.equal(registry.asked.length, Math.ceil(length / 65_536));
    assert.deepEqual(clock.waits, []);
  });

  test(`a registry that ignores Range sends a ${size} blob from its start`, async () => {
    registry.fault(() => ({ kind: 'no-range' }));
    const { sink } = await pull(held(size, 1000));
    assert.equal(sink.restarts, 1);
    assert.equal(registry.asked.length, 1);
  });

  test(`a 416 starts a ${size} blob again`, async () => {
    registry.fault(({ headers }) =>
      headers.range === undefined ? undefined : { kind: 'status', status: 416 },
    );
    const { sink } = await pull(held(size, 1000));
    assert.equal(sink.restarts, 1);
    assert.deepEqual(ranges(), ['bytes=1000-', undefined]);
  });

  for (const [what, range] of [
    ['another start', `bytes 999-${length - 2}/${length}`],
    ['another total', `bytes 1000-${length - 1}/${length + 1}`],
    ['another length than it sends', `bytes 1000-${length - 2}/${length}`],
    ['no range at all', undefined],
  ] as const) {
    test(`a 206 with ${what} starts a ${size} blob again`, async () => {
      registry.fault(({ headers }) =>
        headers.range === undefined ? undefined : { kind: 'headers', headers: { 'content-range': range } },
      );
      const { sink } = await pull(held(size, 1000));
      assert.equal(sink.restarts, 1);
    });
  }

  test(`a sink that holds more than the ${size} blob starts again`, async () => {
    const { sink } = await pull(openMemorySink(Buffer.concat([bytes[size], Buffer.from('x')])));
    assert.equal(sink.restarts, 1);
  });

  test(`a complete sink needs no request for the ${size} blob`, async () => {
    await pull(held(size, length));
    assert.equal(registry.asked.length, 0);
  });

  test(`a ${size} blob of unknown length arrives`, async () => {
    registry.fault(() => ({ kind: 'chunked' }));
    await pull();
  });

  test(`a registry that sends more than the ${size} blob is stopped, and said to send too much`, async () => {
    registry.fault(() => ({ kind: 'chunked', bytes: length + 100_000_000 }));
    await assert.rejects(pull(), {
      code: 'corrupt',
      message: `${subject()}: ${registry.host} sends more than the ${length} bytes of its descriptor`,
    });
  });

  test(`a registry that announces another length for the ${size} blob is corrupt, and both are named`, async () => {
    registry.fault(() => ({ kind: 'headers', headers: { 'content-length': String(length - 1) } }));
    await assert.rejects(pull(), {
      code: 'corrupt',
      message: `${subject()}: ${registry.host} announces ${length - 1} bytes; the descriptor says ${length}`,
    });
    assert.equal(registry.asked.length, 1);
  });

  test(`a registry that never sends all of the ${size} blob is corrupt, and the bytes are counted`, async () => {
    registry.fault(({ headers }) =>
      headers.range === undefined ? { kind: 'chunked', bytes: 1000 } : { kind: 'status', status: 416 },
    );
    await assert.rejects(pull(), {
      code: 'corrupt',
      message: new RegExp(
        `^${subject()}: 1000 of ${length} bytes came, then: ${registry.host} ended it as if that were all; gave up after \\d+ tries in 30 s$`,
      ),
    });
  });

  test(`a ${size} blob that is always cut at the same byte is unavailable, and the bytes are counted`, async () => {
    registry.fault(({ headers }) => ({ kind: 'cut', after: headers.range === undefined ? 100_000 : 0 }));
    const clock = openFakeClock();
    await assert.rejects(pull(openMemorySink(), clock), {
      code: 'unavailable',
      message: new RegExp(
        `^${subject()}: 100000 of ${length} bytes came, then: the connection to ${registry.host} ended in mid-answer .*; gave up after 9 tries in 30 s$`,
      ),
    });
    assert.deepEqual(clock.waits, [200, 400, 800, 1600, 3200, 6400, 12_800, 4600]);
  });

  test(`a registry that loses the ${size} blob's beginning over and over is given up`, async () => {
    registry.fault(({ headers }) =>
      headers.range === undefined ? { kind: 'cut', after: 65_536 } : { kind: 'status', status: 416 },
    );
    await assert.rejects(pull(), { code: 'unavailable', message: /gave up after/ });
    assert.ok(registry.asked.length < 30);
  });

  test(`a stall in the ${size} blob is a cut after the time for it`, async () => {
    registry.fault(({ nth }) => (nth === 1 ? { kind: 'stall', after: 100_000 } : undefined));
    await pull(openMemorySink(), openFakeClock(), 300);
    assert.deepEqual(ranges(), [undefined, 'bytes=100000-']);
  });

  test(`a registry that stalls before every answer is unavailable`, async () => {
    registry.fault(() => ({ kind: 'stall', after: 0 }));
    const clock = openFakeClock();
    clock.sleep = async () => clock.advance(20_000);
    await assert.rejects(pull(openMemorySink(), clock, 100), {
      code: 'unavailable',
      message:
        /0 of \d+ bytes came, then: .* stopped sending and left the connection open; gave up after 3 tries/,
    });
  });

  test(`a 503 with Retry-After makes the ${size} blob wait as long`, async () => {
    registry.fault(({ nth }) => (nth === 1 ? { kind: 'status', status: 503, retryAfter: '7' } : undefined));
    const { clock } = await pull();
    assert.deepEqual(clock.waits, [7000]);
  });

  test(`a redirect of the ${size} blob is followed, and a resume begins at the registry again`, async () => {
    registry.fault(({ path: asked }) => ({
      kind: 'redirect',
      to: `http://${store.host}${asked}?signature=secret`,
    }));
    store.fault(({ nth, headers }) =>
      nth === 1 && headers.range === undefined ? { kind: 'cut', after: 65_536 } : undefined,
    );
    await pull();
    assert.deepEqual(ranges(), [undefined, 'bytes=65536-']);
    assert.deepEqual(
      store.asked.map(({ headers }) => headers.range),
      [undefined, 'bytes=65536-'],
    );
  });

  test(`a store that refuses the ${size} blob is unavailable, and its signed address is not told`, async () => {
    registry.fault(({ path: asked }) => ({
      kind: 'redirect',
      to: `http://${store.host}${asked}?signature=secret`,
    }));
    store.fault(() => ({ kind: 'status', status: 403 }));
    await assert.rejects(pull(), (thrown: ArtifactError) => {
      assert.equal(thrown.code, 'unavailable');
      assert.match(thrown.message, new RegExp(`${store.host} answered 403`));
      assert.doesNotMatch(thrown.message, /secret/);
      return true;
    });
  });

  test(`wrong bytes of the ${size} blob reach the sink, which judges them`, async () => {
    registry.fault(() => ({ kind: 'wrong-bytes' }));
    await assert.rejects(pull(), { name: 'AssertionError' });
  });

  test(`an error of the sink ends the ${size} blob at once and is thrown as it is`, async () => {
    const full = new ArtifactError('exhausted', 'the disk is full');
    const sink = openMemorySink();
    sink.write = () => {
      throw full;
    };
    await assert.rejects(pull(sink), full);
    assert.equal(registry.asked.length, 1);
  });

  test(`a ${size} blob that does not exist is not found`, async () => {
    registry.fault(() => ({ kind: 'status', status: 404, code: 'BLOB_UNKNOWN', message: 'blob unknown' }));
    await assert.rejects(pull(), {
      code: 'not-found',
      message: `${subject()} does not exist: ${registry.host} answered 404 (BLOB_UNKNOWN: blob unknown)`,
    });
  });

  test(`an abort in the ${size} blob closes the connection and throws cancelled`, async () => {
    const server = createServer(socket => {
      socket.on('error', () => {});
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\nstart`);
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    try {
      const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
      const abort = new AbortController();
      await using client = openTestClient();
      /** The first connection was the try with TLS. */
      const connected = once(server, 'connection').then(() => once(server, 'connection'));
      const pulling = client.blob(
        { registry: host, path },
        descriptors[size],
        openMemorySink(),
        anonymous,
        abort.signal,
      );
      const [socket] = await connected;
      const closed = once(socket, 'close');
      await once(socket, 'data');
      abort.abort(new Error('gone'));
      await assert.rejects(pulling, { code: 'cancelled' });
      await closed;
    } finally {
      server.close();
    }
  });

  for (const [what, text] of [
    ['early hints', 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n'],
    ['a folded header', `HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: ${length}\r\n\r\nx`],
    ['no HTTP at all', 'SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n'],
    ['an empty answer', ''],
  ] as const) {
    test(`${what} once in place of the ${size} blob does no harm`, async () => {
      let left = size === 'large' ? 2 : 1;
      registry.fault(() => (left-- > 0 ? { kind: 'raw', text } : undefined));
      await pull();
    });
  }
}

test('a large blob is handed over in one buffer of at most 512 KiB', async () => {
  await using client = openTestClient();
  const sink = openMemorySink();
  await client.blob({ registry: registry.host, path }, descriptors.large, sink, anonymous, signal);
  assert.ok(sink.largest <= 512 * 1024);
});

test('bytes are reported with the registry as users write it', async () => {
  let total = 0;
  await using client = openTestClient({
    locate: () => ({ host: registry.host, path, insecure: true }),
    onBytes: (name, count) => {
      assert.equal(name, 'registry.example');
      total += count;
    },
  });
  await client.blob(
    { registry: 'registry.example', path: 'x' },
    descriptors.small,
    openMemorySink(),
    anonymous,
    signal,
  );
  assert.equal(total, bytes.small.length);
});
