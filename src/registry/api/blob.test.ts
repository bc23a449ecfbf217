import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { lengths, type Size, shareBlobSource, sizes } from '../../../test/support/registry/blob-source.ts';
import { anonymous, openMemorySink, openTestClient } from '../../../test/support/registry/registry-client.ts';
import { ArtifactError } from '../../util/error.ts';
import { openRegistry } from '../client.ts';
import { toUpstream } from '../config/route.ts';

const { signal } = new AbortController();
const source = await shareBlobSource();

const held = (size: Size, length: number) => openMemorySink(source.bytes[size].subarray(0, length));

for (const size of sizes) {
  const length = lengths[size];

  test(`a ${size} blob arrives in one request without Range`, async () => {
    await source.pull(size);
    assert.deepEqual(source.ranges(), [undefined]);
  });

  test(`a ${size} blob continues at the offset of its sink`, async () => {
    await source.pull(size, { sink: held(size, length - 70_000) });
    assert.deepEqual(source.ranges(), [`bytes=${length - 70_000}-`]);
  });

  test(`a ${size} blob that is cut every 64 KiB arrives without a wait`, async () => {
    source.registry.fault(() => ({ kind: 'cut', after: 65_536 }));
    const { clock } = await source.pull(size);
    assert.equal(source.registry.asked.length, Math.ceil(length / 65_536));
    assert.deepEqual(clock.waits, []);
  });

  test(`a registry that ignores Range sends a ${size} blob from its start, and the known part is skipped`, async () => {
    source.registry.fault(() => ({ kind: 'no-range' }));
    const { sink } = await source.pull(size, { sink: held(size, 200_000) });
    assert.equal(sink.restarts, 0);
    assert.equal(source.registry.asked.length, 1);
  });

  test(`after a 416 the whole ${size} blob is requested, and the known part is skipped`, async () => {
    source.registry.fault(({ headers }) =>
      headers.range === undefined ? undefined : { kind: 'status', status: 416 },
    );
    const { sink } = await source.pull(size, { sink: held(size, 1000) });
    assert.equal(sink.restarts, 0);
    assert.deepEqual(source.ranges(), ['bytes=1000-', undefined]);
  });

  for (const status of [400, 401, 403, 404, 405, 429, 500, 503]) {
    test(`after a ${status} for a range the whole ${size} blob is requested at once`, async () => {
      source.registry.fault(({ headers }) =>
        headers.range === undefined ? undefined : { kind: 'status', status },
      );
      const { sink, clock } = await source.pull(size, { sink: held(size, 1000) });
      assert.equal(sink.restarts, 0);
      assert.deepEqual(source.ranges(), ['bytes=1000-', undefined]);
      assert.deepEqual(clock.waits, []);
    });
  }

  test(`a 200 that carries only the rest of a ${size} blob is not accepted as the whole`, async () => {
    source.registry.fault(({ headers }) =>
      headers.range === undefined ? undefined : { kind: 'status', status: 200, message: 'x'.repeat(200) },
    );
    await source.pull(size, { sink: held(size, 1000) });
    assert.deepEqual(source.ranges(), ['bytes=1000-', undefined]);
  });

  test(`if the range and the whole of a ${size} blob fail alike, the whole is requested once`, async () => {
    source.registry.fault(({ nth }) => (nth < 5 ? { kind: 'status', status: 502 } : undefined));
    await source.pull(size, { sink: held(size, 1000) });
    const range = 'bytes=1000-';
    assert.deepEqual(source.ranges(), [range, undefined, range, range, range]);
  });

  for (const [what, range] of [
    ['another start', `bytes 999-${length - 2}/${length}`],
    ['another total', `bytes 1000-${length - 1}/${length + 1}`],
    ['another length than it sends', `bytes 1000-${length - 2}/${length}`],
    ['no range at all', undefined],
  ] as const) {
    test(`after a 206 with ${what} the whole ${size} blob is requested`, async () => {
      source.registry.fault(({ headers }) =>
        headers.range === undefined ? undefined : { kind: 'headers', headers: { 'content-range': range } },
      );
      const { sink } = await source.pull(size, { sink: held(size, 1000) });
      assert.equal(sink.restarts, 0);
      assert.deepEqual(source.ranges(), ['bytes=1000-', undefined]);
    });
  }

  test(`a sink that holds more than the ${size} blob starts again`, async () => {
    const { sink } = await source.pull(size, {
      sink: openMemorySink(Buffer.concat([source.bytes[size], Buffer.from('x')])),
    });
    assert.equal(sink.restarts, 1);
  });

  test(`a complete sink sends no request for the ${size} blob`, async () => {
    await source.pull(size, { sink: held(size, length) });
    assert.equal(source.registry.asked.length, 0);
  });

  test(`a ${size} blob of unknown length arrives`, async () => {
    source.registry.fault(() => ({ kind: 'chunked' }));
    await source.pull(size);
  });

  test(`a redirect of the ${size} blob is followed, and a resume begins at the registry again`, async () => {
    source.registry.fault(({ path: asked }) => ({
      kind: 'redirect',
      to: `http://${source.store.host}${asked}?signature=secret`,
    }));
    source.store.fault(({ nth, headers }) =>
      nth === 1 && headers.range === undefined ? { kind: 'cut', after: 65_536 } : undefined,
    );
    await source.pull(size);
    assert.deepEqual(source.ranges(), [undefined, 'bytes=65536-']);
    assert.deepEqual(
      source.store.asked.map(({ headers }) => headers.range),
      [undefined, 'bytes=65536-'],
    );
  });

  test(`a storage server that refuses the ${size} blob is unavailable, and the error omits its signed URL`, async () => {
    source.registry.fault(({ path: asked }) => ({
      kind: 'redirect',
      to: `http://${source.store.host}${asked}?signature=secret`,
    }));
    source.store.fault(() => ({ kind: 'status', status: 403 }));
    await assert.rejects(source.pull(size), (thrown: ArtifactError) => {
      assert.equal(thrown.code, 'unavailable');
      assert.match(thrown.message, new RegExp(`${source.store.host} answered 403`));
      assert.doesNotMatch(thrown.message, /secret/);
      return true;
    });
  });

  test(`an error of the sink ends the ${size} blob at once and is thrown unchanged`, async () => {
    const full = new ArtifactError('exhausted', 'the disk is full');
    const sink = openMemorySink();
    sink.write = () => {
      throw full;
    };
    await assert.rejects(source.pull(size, { sink }), full);
    assert.equal(source.registry.asked.length, 1);
  });

  test(`an abort during the ${size} blob closes the connection, keeps the received bytes and throws cancelled`, async () => {
    const server = createServer(socket => {
      socket.on('error', () => {});
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\nstart`);
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    try {
      const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
      const abort = new AbortController();
      await using client = openTestClient();
      const sink = openMemorySink();
      /** The first connection was the attempt with TLS. */
      const connected = once(server, 'connection').then(() => once(server, 'connection'));
      const pulling = client.blob(
        { registry: host, path: source.path },
        source.blobs[size],
        sink,
        anonymous,
        abort.signal,
      );
      const [socket] = await connected;
      const closed = once(socket, 'close');
      await once(socket, 'data');
      while (sink.offset < 5) await sleep(5);
      abort.abort(new Error('gone'));
      await assert.rejects(pulling, { code: 'cancelled' });
      assert.equal(sink.offset, 5);
      await closed;
    } finally {
      server.close();
    }
  });
}

test('a large blob arrives in chunks of 256 KiB', async () => {
  await using client = openTestClient();
  const sink = openMemorySink();
  await client.blob(
    { registry: source.registry.host, path: source.path },
    source.blobs.large,
    sink,
    anonymous,
    signal,
  );
  assert.equal(sink.largest, 256 * 1024);
});

test('a wait before the next attempt ends when the caller aborts', async () => {
  source.registry.fault(() => ({ kind: 'status', status: 503, retryAfter: '5' }));
  await using client = openRegistry({
    route: () => ({
      mirrors: [],
      last: toUpstream({ host: source.registry.host, path: source.path, insecure: true }),
    }),
  });
  const leaving = AbortSignal.timeout(100);
  const pulling = client.blob(
    { registry: 'x', path: source.path },
    source.blobs.small,
    openMemorySink(),
    anonymous,
    leaving,
  );
  await assert.rejects(pulling, { code: 'cancelled' });
});
