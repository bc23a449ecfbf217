import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatGet, maxHeadBytes, parseResponseStart } from './response-head.ts';

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
    formatGet(new URL('https://h:5000/v2/a?b=c#d'), { range: 'bytes=1-' }),
    'GET /v2/a?b=c HTTP/1.1\r\nhost: h:5000\r\nrange: bytes=1-\r\n\r\n',
  );
  assert.throws(
    () => formatGet(new URL('https://h/'), { authorization: 'Bearer a\r\nx: y' }),
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
