import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lengths, shareBlobSource, sizes } from '../../../test/support/registry/blob-source.ts';
import { openFakeClock, openMemorySink } from '../../../test/support/registry/registry-client.ts';
import { findCause } from '../../util/error.ts';
import { formatSize } from '../../util/size.ts';
import { SizeError } from '../http/retry.ts';

const source = await shareBlobSource();

for (const size of sizes) {
  const length = lengths[size];

  test(`a registry that sends more than the ${size} blob is cut off, and the error says that it sent too much`, async () => {
    source.registry.fault(() => ({ kind: 'chunked', bytes: length + 100_000_000 }));
    await assert.rejects(source.pull(size), {
      code: 'corrupt',
      message: `${source.subject(size)}: ${source.registry.host} sends more than the ${length} bytes of its descriptor; check their source`,
    });
  });

  test(`a registry that announces a wrong length for the ${size} blob is corrupt, and the error names both lengths`, async () => {
    source.registry.fault(() => ({ kind: 'headers', headers: { 'content-length': String(length - 1) } }));
    await assert.rejects(source.pull(size), {
      code: 'corrupt',
      message: `${source.subject(size)}: ${source.registry.host} announces ${length - 1} bytes, and the descriptor says ${length}; check their source`,
    });
    assert.equal(source.registry.asked.length, 1);
  });

  test(`another size than that of the ${size} blob is told from other wrong content`, async () => {
    for (const fault of [
      { kind: 'chunked', bytes: length + 100_000_000 },
      { kind: 'headers', headers: { 'content-length': String(length - 1) } },
      { kind: 'chunked', bytes: 1000 },
    ] as const) {
      source.registry.fault(({ headers }) =>
        headers.range === undefined ? fault : { kind: 'status', status: 416 },
      );
      const failure = await source.pull(size).catch((thrown: unknown) => thrown);
      assert.ok(findCause(failure, SizeError) !== undefined, String(failure));
    }
  });

  test(`a page in place of the ${size} blob keeps what the sink already has`, async () => {
    const text = 'HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nsign in';
    source.registry.fault(() => ({ kind: 'raw', text }));
    const sink = openMemorySink(source.bytes[size].subarray(0, 1000));
    await assert.rejects(source.pull(size, { sink }), { code: 'corrupt', message: /announces 7 bytes/ });
    assert.deepEqual([sink.offset, sink.restarts], [1000, 0]);
  });

  test(`a registry that never sends the whole ${size} blob is corrupt, and the error counts the bytes`, async () => {
    source.registry.fault(({ headers }) =>
      headers.range === undefined ? { kind: 'chunked', bytes: 1000 } : { kind: 'status', status: 416 },
    );
    await assert.rejects(source.pull(size), {
      code: 'corrupt',
      message: new RegExp(
        `^${source.subject(size)}: 1\\.0 KiB of ${formatSize(length)} came, then: ${source.registry.host} ended it as if that were all; gave up after \\d+ tries in 30 s; check the host and the network path to it$`,
      ),
    });
  });

  test(`a ${size} blob that is always cut at the same byte is unavailable, and the error counts the bytes`, async () => {
    source.registry.fault(({ headers }) => ({
      kind: 'cut',
      after: headers.range === undefined ? 100_000 : 0,
    }));
    const clock = openFakeClock();
    await assert.rejects(source.pull(size, { clock }), {
      code: 'unavailable',
      message: new RegExp(
        `^${source.subject(size)}: 97\\.7 KiB of ${formatSize(length)} came, then: the connection to ${source.registry.host} ended in mid-answer .*; gave up after 9 tries in 30 s; check the host and the network path to it$`,
      ),
    });
    assert.deepEqual(clock.waits, [200, 400, 800, 1600, 3200, 6400, 12_800, 4600]);
  });

  test(`a registry that cuts the ${size} blob after every byte is waited for, then abandoned`, async () => {
    source.registry.fault(() => ({ kind: 'cut', after: 1 }));
    await abandon();
  });

  test(`a registry that sends a byte of the ${size} blob for each request is waited for, then abandoned`, async () => {
    source.registry.fault(({ headers }) => {
      const [from] = /\d+/.exec(headers.range ?? '') ?? [];
      if (from === undefined) return { kind: 'cut', after: 1 };
      const range = `bytes ${from}-${from}/${length}`;
      return { kind: 'headers', headers: { 'content-range': range, 'content-length': '1' } };
    });
    await abandon();
  });

  /** The first eight attempts that bring a byte do not count. */
  async function abandon(): Promise<void> {
    const clock = openFakeClock();
    await assert.rejects(source.pull(size, { clock }), {
      code: 'unavailable',
      message: new RegExp(`^${source.subject(size)}: 17 B of .* gave up after 9 tries in 30 s`),
    });
    assert.equal(source.registry.asked.length, 17);
    assert.deepEqual(clock.waits, [200, 400, 800, 1600, 3200, 6400, 12_800, 4600]);
  }

  test(`a registry that always loses the beginning of the ${size} blob is abandoned`, async () => {
    source.registry.fault(({ headers }) =>
      headers.range === undefined ? { kind: 'cut', after: 65_536 } : { kind: 'status', status: 416 },
    );
    await assert.rejects(source.pull(size), { code: 'unavailable', message: /gave up after/ });
    assert.ok(source.registry.asked.length < 30);
  });

  test(`a stall in the ${size} blob ends the request after the stall time`, async () => {
    source.registry.fault(({ nth }) => (nth === 1 ? { kind: 'stall', after: 100_000 } : undefined));
    await source.pull(size, { stallMs: 1_000 });
    assert.deepEqual(source.ranges(), [undefined, 'bytes=100000-']);
  });

  test(`a registry that stalls before every byte of the ${size} blob is unavailable`, async () => {
    source.registry.fault(() => ({ kind: 'stall', after: 0 }));
    const clock = openFakeClock();
    clock.sleep = async () => clock.advance(20_000);
    await assert.rejects(source.pull(size, { clock, stallMs: 100 }), {
      code: 'unavailable',
      message:
        /0 B of \S+ \S+ came, then: .* stopped sending and left the connection open; gave up after 3 tries/,
    });
  });

  test(`a 503 with Retry-After delays the ${size} blob by that time`, async () => {
    source.registry.fault(({ nth }) =>
      nth === 1 ? { kind: 'status', status: 503, retryAfter: '4' } : undefined,
    );
    const { clock } = await source.pull(size);
    const [waitMs = 0, ...more] = clock.waits;
    assert.ok(waitMs >= 4000 && waitMs <= 4400, `${waitMs}`);
    assert.deepEqual(more, []);
  });

  test(`wrong bytes of the ${size} blob reach the sink, which verifies them`, async () => {
    source.registry.fault(() => ({ kind: 'wrong-bytes' }));
    await assert.rejects(source.pull(size), { name: 'AssertionError' });
  });

  test(`a ${size} blob that does not exist is not found`, async () => {
    source.registry.fault(() => ({
      kind: 'status',
      status: 404,
      code: 'BLOB_UNKNOWN',
      message: 'blob unknown',
    }));
    await assert.rejects(source.pull(size), {
      code: 'not-found',
      message: `${source.subject(size)} does not exist: ${source.registry.host} answered 404 (BLOB_UNKNOWN: blob unknown); asked as anonymous (no file); if it is private, give a credential: some registries answer 404 without one`,
    });
  });

  for (const [what, text] of [
    ['early hints', 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n'],
    ['a folded header', `HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: ${length}\r\n\r\nx`],
    ['no HTTP at all', 'SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n'],
    ['an empty answer', ''],
  ] as const) {
    test(`${what} once in place of the ${size} blob does no harm`, async () => {
      let left = size === 'large' ? 2 : 1;
      source.registry.fault(() => (left-- > 0 ? { kind: 'raw', text } : undefined));
      await source.pull(size);
    });
  }
}
