import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import process from 'node:process';
import { test } from 'node:test';
import fc from 'fast-check';
import { createServer } from '../../../test/support/os/http.ts';
import { lengths, shareBlobSource, sizes } from '../../../test/support/registry/blob-source.ts';
import { anonymous, openMemorySink, openTestClient } from '../../../test/support/registry/registry-client.ts';
import { collect, formatRequest, maxHeadBytes, parseResponseStart } from './request.ts';

const parse = (...lines: string[]) =>
  parseResponseStart(Buffer.from(`${lines.join('\r\n')}\r\n\r\nbody`, 'latin1'));
const kind = (...lines: string[]) => parse(...lines).kind;

test('a plain head has status, headers, its own length and that of the body', () => {
  const start = parse('HTTP/1.1 206 Partial Content', 'Content-Length: 4', 'X-A:1', 'x-a:  2 ');
  assert.ok(start.kind === 'plain');
  assert.equal(start.status, 206);
  assert.equal(start.contentLength, 4);
  assert.equal(
    start.headBytes,
    'HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\nX-A:1\r\nx-a:  2 \r\n\r\n'.length,
  );
  assert.deepEqual({ ...start.headers }, { 'content-length': '4', 'x-a': '1, 2' });
});

test('a head is incomplete at every byte before its end', () => {
  const head = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  for (let length = 0; length < head.length; length += 1) {
    assert.equal(parseResponseStart(head.subarray(0, length)).kind, 'incomplete');
  }
  assert.equal(parseResponseStart(head).kind, 'plain');
});

test('a head above 16 KiB is left to the fallback', () => {
  const long = `x: ${'a'.repeat(maxHeadBytes)}`;
  assert.equal(kind('HTTP/1.1 200 OK', 'content-length: 4', long), 'other');
  assert.equal(parseResponseStart(Buffer.alloc(maxHeadBytes, 'a')).kind, 'other');
});

test('a head of more than 128 fields is left to the fallback', () => {
  const fields = (count: number): string[] => Array.from({ length: count }, (_, index) => `x-${index}: 1`);
  assert.equal(kind('HTTP/1.1 200 OK', 'content-length: 4', ...fields(127)), 'plain');
  assert.equal(kind('HTTP/1.1 200 OK', 'content-length: 4', ...fields(128)), 'other');
});

for (const [what, lines] of [
  ['two Content-Lengths that differ', ['HTTP/1.1 200 OK', 'content-length: 4', 'content-length: 5']],
  ['two Content-Lengths that agree', ['HTTP/1.1 200 OK', 'content-length: 4', 'content-length: 4']],
  ['a signed Content-Length', ['HTTP/1.1 200 OK', 'content-length: +4']],
  ['no Content-Length', ['HTTP/1.1 200 OK']],
  [
    'Transfer-Encoding beside Content-Length',
    ['HTTP/1.1 200 OK', 'content-length: 4', 'transfer-encoding: chunked'],
  ],
  ['a folded line', ['HTTP/1.1 200 OK', 'content-length: 4', 'x: a', ' b']],
  ['a space before the colon', ['HTTP/1.1 200 OK', 'content-length : 4']],
  ['a bare LF', ['HTTP/1.1 200 OK', 'content-length: 4\nx: y']],
  ['a bare CR', ['HTTP/1.1 200 OK', 'content-length: 4', 'x: a\rb']],
  ['a zero byte', ['HTTP/1.1 200 OK', 'content-length: 4', 'x: \0']],
  ['a 103', ['HTTP/1.1 103 Early Hints', 'content-length: 4']],
  ['HTTP/2', ['HTTP/2 200 OK', 'content-length: 4']],
  ['another protocol', ['SSH-2.0-OpenSSH_9.2', 'content-length: 4']],
] as const) {
  test(`${what} is left to the fallback`, () => assert.equal(kind(...lines), 'other'));
}

test('the response to a HEAD is plain without a length, and has no body with one', () => {
  for (const line of ['x: y', 'content-length: 4', 'transfer-encoding: chunked']) {
    const start = parseResponseStart(Buffer.from(`HTTP/1.1 200 OK\r\n${line}\r\n\r\n`), 'HEAD');
    assert.ok(start.kind === 'plain' && start.contentLength === 0, line);
  }
});

test('any bytes are parsed without an error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), bytes => parseResponseStart(bytes).kind !== undefined),
  );
});

test('a header with the name of an object property is an ordinary header', () => {
  const start = parse('HTTP/1.1 200 OK', 'content-length: 4', '__proto__: x', 'constructor: y');
  assert.ok(start.kind === 'plain');
  assert.deepEqual(Object.entries(start.headers).slice(1), [
    ['__proto__', 'x'],
    ['constructor', 'y'],
  ]);
});

test('a GET has path and query, and no header can inject a line', () => {
  assert.equal(
    formatRequest('GET', new URL('https://h:5000/v2/a?b=c#d'), { range: 'bytes=1-' }),
    'GET /v2/a?b=c HTTP/1.1\r\nhost: h:5000\r\nrange: bytes=1-\r\n\r\n',
  );
  assert.throws(
    () => formatRequest('HEAD', new URL('https://h/'), { authorization: 'Bearer a\r\nx: y' }),
    /authorization/,
  );
});

test('whitespace around a value is removed, and nothing else', () => {
  const start = parse('HTTP/1.1 200 OK', 'a: \t x y\t ', 'b:', 'c: \t', 'd:\xa0z\xa0', 'content-length: 4 ');
  assert.ok(start.kind === 'plain');
  assert.deepEqual({ ...start.headers }, { a: 'x y', b: '', c: '', d: '\xa0z\xa0', 'content-length': '4' });
  assert.equal(parse('HTTP/1.1 200 OK', 'content-length:\xa04').kind, 'other');
});

test('a head of nothing but whitespace costs no more than any other', () => {
  const blanks = ' '.repeat(maxHeadBytes - 200);
  for (const value of [`x${blanks}x`, blanks, `${blanks}\x00`]) {
    // The fastest of several runs: the machine may be busy.
    const times = Array.from({ length: 5 }, () => {
      const began = performance.now();
      parse('HTTP/1.1 200 OK', `a: ${value}`, 'content-length: 4');
      return performance.now() - began;
    });
    assert.ok(Math.min(...times) < 50);
  }
});

test('a body in chunks of one byte takes no more memory than its bytes', () => {
  const length = 1024 * 1024;
  const body = collect(length, () => assert.fail('it is too long'));
  const chunk = Buffer.from('x');
  const used = (): number => process.memoryUsage().heapUsed + process.memoryUsage().external;
  const before = used();
  for (let at = 0; at < length; at++) void body.receive(chunk);
  const grown = used() - before;
  assert.equal(body.bytes().toString(), 'x'.repeat(length));
  assert.ok(grown < 16 * length, `${grown} bytes`);
});

const { signal } = new AbortController();
const source = await shareBlobSource();

/** Ten times the rate of the slow servers. */
const leastRate = { bytesPerSecond: 1024 * 1024, overMs: 400 };

for (const size of sizes) {
  test(`a ${size} blob that trickles in is ended, its bytes are kept, and the error says so`, async () => {
    source.registry.fault(() => ({ kind: 'slow', bytesPerSecond: 100 * 1024 }));
    const sink = openMemorySink();
    await using client = openTestClient({ leastRate });
    const name = { registry: source.registry.host, path: source.path };
    await assert.rejects(client.blob(name, source.blobs[size], sink, anonymous, signal), {
      code: 'unavailable',
      message: /sent .* in 0\.4 s, which is less than the 1\.0 MiB\/s of --min-download-rate/,
    });
    assert.ok(sink.offset > 0 && sink.offset < lengths[size]);
    assert.equal(source.registry.asked.length, 1);
    source.registry.reset();
    await source.pull(size, { sink });
  });
}

for (const what of ['blob', 'manifest'] as const) {
  test(`a ${what} of unknown length that trickles in is ended`, async () => {
    const server = createServer((_, response) => {
      const timer = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(timer));
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    try {
      await using client = openTestClient({ leastRate });
      const name = { registry: `127.0.0.1:${(server.address() as AddressInfo).port}`, path: 'x' };
      const pulling =
        what === 'blob'
          ? client.blob(name, source.blobs.small, openMemorySink(), anonymous, signal)
          : client.manifest(name, source.blobs.small, anonymous, signal);
      await assert.rejects(pulling, { message: /less than the 1\.0 MiB\/s of --min-download-rate/ });
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
}

test('skipped bytes count, and a blob that is fast enough is left alone', async () => {
  source.registry.fault(({ headers }) =>
    headers.range === undefined
      ? { kind: 'slow', bytesPerSecond: 4 * 1024 * 1024 }
      : { kind: 'status', status: 400 },
  );
  const sink = openMemorySink(source.bytes.large.subarray(0, 5_000_000));
  // Far below the real rate, also on a busy machine.
  await using client = openTestClient({ leastRate: { ...leastRate, bytesPerSecond: 128 * 1024 } });
  await client.blob(
    { registry: source.registry.host, path: source.path },
    source.blobs.large,
    sink,
    anonymous,
    signal,
  );
  assert.equal(sink.digest(), source.blobs.large.digest);
});
