import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pagesWith } from '../../test/support/node/probe-pages.ts';
import { cpuTime } from '../../test/support/os/cpu-time.ts';
import { type Pages, serveProbes } from './probes.ts';

const loopback = { host: '127.0.0.1', port: 0 };
const large = 'x'.repeat(200_000);

function pages(scrape: () => Promise<string>): Pages {
  return pagesWith({ metrics: { contentType: 'text/plain', scrape } });
}

/** Connections of one client that never close and never read. */
async function open(port: number, count: number, localAddress = '127.0.0.1'): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let left = count; left > 0; left--) {
    const socket = connect({ port, host: '127.0.0.1', localAddress }).on('error', () => {});
    await once(socket, 'connect');
    sockets.push(socket.pause());
  }
  return sockets;
}

/** What a connection answers until its end. */
async function ask(port: number, text: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.end(text);
  let answer = '';
  for await (const chunk of socket) answer += String(chunk);
  return answer;
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;

test('scrapes at one time are computed once, and the result is kept for a second', async () => {
  let computed = 0;
  const scrape = async (): Promise<string> => {
    await sleep(50);
    return `scrape ${++computed}\n`;
  };
  await using server = await serveProbes(loopback, pages(scrape));
  const answers = await Promise.all(
    Array.from({ length: 50 }, () => fetch(`http://127.0.0.1:${server.port}/metrics`).then(r => r.text())),
  );
  assert.deepEqual(new Set(answers), new Set(['scrape 1\n']));
  await sleep(1_100);
  const later = await fetch(`http://127.0.0.1:${server.port}/metrics`, { method: 'HEAD' });
  assert.equal(later.headers.get('content-length'), '9');
  assert.equal(await later.text(), '');
  assert.equal(computed, 2);
});

test('a client that opens connections without end loses its own, and others are answered', async () => {
  await using server = await serveProbes(
    loopback,
    pages(async () => large),
  );
  const other = await open(server.port, 1, '127.0.0.2');
  const idle = await open(server.port, 400);
  const before = process.memoryUsage.rss();
  for (const socket of idle) socket.write(get('/metrics'));
  assert.equal((await fetch(`http://127.0.0.1:${server.port}/healthz`)).status, 200);
  const kept = other[0];
  assert.ok(kept);
  kept.resume().write(get('/readyz'));
  const [answer] = (await once(kept, 'data')) as [Buffer];
  assert.match(String(answer), /^HTTP\/1\.1 200 OK\r\n/, 'the connection of another address is still there');
  await sleep(100);
  const grown = process.memoryUsage.rss() - before;
  assert.ok(grown < 40e6, `400 answers of 200 kB that nobody reads take ${grown} bytes`);
  for (const socket of [...idle, kept]) socket.destroy();
});

test('a pipeline of requests gets one answer and takes no memory', async () => {
  let computed = 0;
  const scrape = async (): Promise<string> => {
    computed++;
    return large;
  };
  await using server = await serveProbes(loopback, pages(scrape));
  const answer = await ask(server.port, get('/healthz').repeat(3));
  assert.equal(answer.split('HTTP/1.1 200').length, 2);
  assert.match(answer, /\r\nConnection: close\r\n/);

  const socket = connect({ port: server.port, host: '127.0.0.1' }).on('error', () => {});
  await once(socket, 'connect');
  socket.pause();
  const before = process.memoryUsage.rss();
  socket.write(get('/metrics').repeat(50_000));
  await sleep(300);
  const grown = process.memoryUsage.rss() - before;
  socket.destroy();
  assert.equal(computed, 1);
  assert.ok(grown < 40e6, `50,000 requests of one connection take ${grown} bytes`);
});

test('an invalid request and an endless head are refused', async () => {
  await using server = await serveProbes(
    loopback,
    pages(async () => ''),
  );
  for (const text of [
    '\r\n\r\n',
    'GET /healthz\r\n\r\n',
    'get /healthz HTTP/1.1\r\n\r\n',
    'GET x HTTP/1.1\r\n\r\n',
  ]) {
    assert.match(await ask(server.port, text), /^HTTP\/1\.1 400 /, JSON.stringify(text));
  }
  const long = `GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(9_000)}`;
  assert.match(await ask(server.port, long), /^HTTP\/1\.1 400 /);
  for (const text of [
    'GET http://node:9809/healthz?a=b HTTP/1.1\r\nHost: x\r\n\r\n',
    'GET /healthz HTTP/1.0\n\n',
    'HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n',
  ]) {
    assert.match(await ask(server.port, text), /^HTTP\/1\.1 200 /, JSON.stringify(text));
  }
});

test('a request that comes in pieces is one', async () => {
  await using server = await serveProbes(
    loopback,
    pages(async () => ''),
  );
  const socket = connect({ port: server.port, host: '127.0.0.1' });
  for (const piece of ['GET /hea', 'lthz HTTP/1.1\r', '\nHost: x\r\n\r', '\n']) {
    socket.write(piece);
    await sleep(10);
  }
  const [answer] = (await once(socket, 'data')) as [Buffer];
  assert.match(String(answer), /^HTTP\/1\.1 200 OK\r\n/);
  socket.destroy();
});

test('a header of blanks costs no more than another of its length', async () => {
  await using server = await serveProbes(
    loopback,
    pages(async () => ''),
  );
  const start = cpuTime();
  for (let left = 20; left > 0; left--) {
    const answer = await ask(server.port, `GET /healthz HTTP/1.1\r\nHost: a${' '.repeat(8000)}b\r\n\r\n`);
    assert.match(answer, /^HTTP\/1\.1 200 /);
  }
  assert.ok(cpuTime() - start < 1000, `${cpuTime() - start} ms`);
});
