import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { anyRate, type HttpRequest, type Send } from '../http/request.ts';
import { StalledError } from '../http/retry.ts';
import { blindTrust, openTls, plainTrust } from '../http/tls.ts';
import { openConnectionPool } from './connection-pool.ts';
import { openDownloads } from './downloads.ts';

type Server = AsyncDisposable & { readonly origin: string; connections(): number; asked(): number };

/** A server that is called with each request, one after the other on a connection, and the socket. */
async function serve(answer: (socket: Socket, question: number) => void): Promise<Server> {
  const sockets = new Set<Socket>();
  let asked = 0;
  const server = createServer(socket => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', text => {
      for (const _ of text.toString().matchAll(/\r\n\r\n/g)) answer(socket, asked++);
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  return {
    origin: `http://127.0.0.1:${port}`,
    connections: () => sockets.size,
    asked: () => asked,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise(resolve => server.close(resolve));
    },
  };
}

type Client = AsyncDisposable & {
  get(path?: string, request?: Partial<HttpRequest>): Promise<string>;
  /** The same for a document. */
  document(request?: Partial<HttpRequest>): Promise<string>;
  others: number;
};

function openClient(origin: string, stallMs = 1_000): Client {
  const downloads = openDownloads({
    tls: openTls(),
    stallMs,
    leastRate: anyRate,
    otherwise: async () => {
      client.others++;
      return { status: 418, headers: {} };
    },
  });
  const ask = async (send: Send, path: string, request: Partial<HttpRequest>): Promise<string> => {
    const pieces: Buffer[] = [];
    const head = await send(
      {
        method: 'GET',
        url: new URL(path, origin),
        headers: {},
        insecure: true,
        trust: plainTrust,
        connectMs: 1_000,
        origin: { kind: 'reference' },
        transport: undefined,
        ...request,
      },
      () => chunk => void pieces.push(Buffer.from(chunk)),
      AbortSignal.timeout(5_000),
    );
    return `${head.status} ${Buffer.concat(pieces).toString()}`;
  };
  const client: Client = {
    others: 0,
    get: (path = '/', request = {}) => ask(downloads.open(undefined, 0).send, path, request),
    document: (request = {}) => ask(downloads.send, '/', request),
    [Symbol.asyncDispose]: () => downloads[Symbol.asyncDispose](),
  };
  return client;
}

const ok = (body: string, header = ''): string =>
  `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n${header}\r\n${body}`;

test('sequential requests share a connection, whatever the size of their responses', async () => {
  const bodies = ['small', '', 'x'.repeat(100_000), 'y'.repeat(3_000_000), 'last'];
  await using server = await serve((socket, question) => socket.write(ok(bodies[question] ?? '')));
  await using client = openClient(server.origin);
  for (const body of bodies) assert.equal(await client.get(), `200 ${body}`);
  assert.equal(server.connections(), 1);
});

test('concurrent requests have a connection each, and responses that arrive in pieces stay separate', async () => {
  await using server = await serve((socket, question) => {
    const answer = ok(String(question).repeat(70_000));
    socket.write(answer.slice(0, 10));
    setTimeout(() => socket.write(answer.slice(10, 40_000)), 5);
    setTimeout(() => socket.write(answer.slice(40_000)), 10);
  });
  await using client = openClient(server.origin);
  for (let round = 0; round < 2; round++) {
    const answers = await Promise.all([client.get(), client.get(), client.get()]);
    assert.equal(new Set(answers).size, 3);
    for (const answer of answers) assert.match(answer, /^200 (\d)\1{69999}$/);
  }
  assert.equal(server.connections(), 3);
});

test('a connection that its server closes in the meantime is replaced, and the caller does not notice', async () => {
  await using server = await serve((socket, question) => {
    if (question === 1) socket.destroy();
    else socket.write(ok(`answer ${question}`));
  });
  await using client = openClient(server.origin);
  assert.equal(await client.get(), '200 answer 0');
  assert.equal(await client.get(), '200 answer 2');
  assert.equal(server.connections(), 2);
});

test('a server that closes every new connection is an error at once', async () => {
  await using server = await serve(socket => socket.destroy());
  await using client = openClient(server.origin);
  await assert.rejects(client.get(), { code: 'unavailable', message: /cannot be reached/ });
  assert.equal(server.asked(), 1);
});

for (const [what, answer] of [
  ['that its server will close', ok('body', 'Connection: Close\r\n')],
  ['of HTTP/1.0', ok('body').replace('1.1', '1.0')],
  ['on which more came than the answer', `${ok('body')}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfake`],
] as const) {
  test(`a connection ${what} is not used again`, async () => {
    await using server = await serve(socket => socket.write(answer));
    await using client = openClient(server.origin);
    assert.equal(await client.get(), '200 body');
    assert.equal(await client.get(), '200 body');
    assert.equal(server.connections(), 2);
  });
}

test('bytes that a server sends unasked are not a response to the next request', async () => {
  const forged = Promise.withResolvers<void>();
  await using server = await serve((socket, question) => {
    socket.write(ok(`answer ${question}`));
    if (question === 0) setTimeout(() => socket.write(ok('forged'), () => forged.resolve()), 20);
  });
  await using client = openClient(server.origin);
  assert.equal(await client.get(), '200 answer 0');
  await forged.promise;
  await new Promise(resolve => setTimeout(resolve, 60));
  assert.equal(await client.get(), '200 answer 1');
});

test('a connection that broke while it was idle is not used, even before its end is known', async () => {
  const asked: Socket[] = [];
  await using server = await serve((socket, question) => {
    asked.push(socket);
    if (question === 0) setTimeout(() => socket.write(ok('first')), 20);
    // In one turn: unasked bytes on the idle connection, and the response on the other.
    if (question === 1)
      setTimeout(() => {
        asked[0]?.write('HTTP/1.1 200 OK\r\n');
        socket.write(ok('second'));
      }, 60);
    if (question > 1) socket.write(ok('later'));
  });
  await using client = openClient(server.origin);
  const [first, second] = [client.get(), client.get()];
  assert.equal(await first, '200 first');
  assert.equal(await second, '200 second');
  assert.deepEqual(await Promise.all([client.get(), client.get()]), ['200 later', '200 later']);
});

test('a server that does not answer plainly is asked by the fallback, and for a while by that alone', async () => {
  await using server = await serve(socket => socket.write('HTTP/1.1 200 OK\r\n\r\nuntil the end'));
  await using client = openClient(server.origin);
  for (let round = 1; round <= 3; round++) {
    assert.equal(await client.get(), '418 ');
    assert.equal(client.others, round);
  }
  assert.equal(server.asked(), 1);
});

test('connections are shared only for equal TLS trust', async () => {
  await using server = await serve(socket => socket.write(ok('body')));
  await using client = openClient(server.origin);
  await client.get();
  await client.get('/', { trust: blindTrust });
  assert.equal(server.connections(), 2);
});

test('the response to a HEAD has no body, and its connection is used again', async () => {
  await using server = await serve((socket, question) =>
    socket.write(question === 0 ? ok('body').replace('body', '') : ok('body')),
  );
  await using client = openClient(server.origin);
  assert.equal(await client.document({ method: 'HEAD' }), '200 ');
  assert.equal(await client.document(), '200 body');
  assert.deepEqual([server.connections(), client.others], [1, 0]);
});

test('a document that is not plain is asked for again, but not with a password, and blobs are not affected', async () => {
  await using server = await serve((socket, question) =>
    socket.write(question === 0 ? 'HTTP/1.1 401 No\r\n\r\n' : ok('body')),
  );
  await using client = openClient(server.origin);
  assert.equal(await client.document({ headers: { authorization: 'Basic YTpi' } }), '418 ');
  assert.deepEqual([server.asked(), client.others], [0, 1]);
  assert.equal(await client.document(), '418 ');
  assert.deepEqual([server.asked(), client.others], [1, 2]);
  assert.equal(await client.get(), '200 body');
});

test('silence on a reused connection is a stall, not a reason to send the request again', async () => {
  await using server = await serve((socket, question) => {
    if (question === 0) socket.write(ok('body'));
  });
  await using client = openClient(server.origin, 100);
  await client.get();
  await assert.rejects(client.get(), StalledError);
  assert.equal(server.asked(), 2);
});

test('bytes that arrived while the thread was blocked are read before the server counts as stalled', async () => {
  let last: Socket | undefined;
  await using server = await serve(socket => {
    last = socket;
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nheld');
  });
  using pool = openConnectionPool(openTls(), 100);
  const came: string[] = [];
  const take = (chunk: Uint8Array): void => {
    came.push(Buffer.from(chunk).toString());
    if (came.length > 1) return;
    last?.write(' up.');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  };
  const request = {
    method: 'GET',
    url: new URL(server.origin),
    headers: {},
    trust: plainTrust,
    connectMs: 1_000,
    origin: { kind: 'reference' },
  } as const;
  const head = await pool.send(request, () => take, AbortSignal.timeout(5_000));
  assert.equal(head?.status, 200);
  assert.equal(came.join(''), 'held up.');
});

test('after disposal no request is sent', async () => {
  await using server = await serve(socket => socket.write(ok('body')));
  const client = openClient(server.origin);
  await client.get();
  await client[Symbol.asyncDispose]();
  await assert.rejects(client.get(), { code: 'cancelled' });
  assert.equal(server.asked(), 1);
});

test('a header that cannot be sent fails its request alone', async () => {
  await using server = await serve(socket => socket.write(ok('body')));
  await using client = openClient(server.origin);
  await client.get();
  await assert.rejects(client.get('/', { headers: { authorization: 'a\r\nb: c' } }), /authorization/);
  assert.equal(await client.get(), '200 body');
  assert.equal(server.connections(), 1);
});

test('a slow receiver pauses the reading, and that is not a stall', async () => {
  const size = 16 * 1024 * 1024;
  await using server = await serve(socket => {
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`);
    socket.write(Buffer.alloc(size));
  });
  const stallMs = 500; // a busy machine may not run this process for as long as shorter ones
  using pool = openConnectionPool(openTls(), stallMs);
  for (let round = 0; round < 2; round++) {
    const ready = Promise.withResolvers<void>();
    let [taken, isReady] = [0, false];
    const take = (chunk: Uint8Array): Promise<void> | undefined => {
      taken += chunk.length;
      return isReady ? undefined : ready.promise;
    };
    const request = {
      method: 'GET',
      url: new URL(server.origin),
      headers: {},
      insecure: true,
      trust: plainTrust,
      connectMs: 1_000,
      origin: { kind: 'reference' },
      transport: undefined,
    } as const;
    const sent = pool.send(request, () => take, AbortSignal.timeout(5_000));
    await new Promise(resolve => setTimeout(resolve, 2 * stallMs));
    assert.ok(taken > 0 && taken < 1024 * 1024, `${taken} bytes were read meanwhile`);
    isReady = true;
    ready.resolve();
    assert.equal((await sent)?.status, 200);
    assert.equal(taken, size);
  }
  assert.equal(server.connections(), 1);
});
