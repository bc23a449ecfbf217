import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { toDigest } from '../../src/oci/digest.ts';
import { createServer } from '../support/os/http.ts';
import { alice, identity } from '../support/registry/guarded-registry.ts';
import { anonymous, keyringOf, openTestClient } from '../support/registry/registry-client.ts';

/** A hostile registry, and another server that wants its credentials. */

type Server = AsyncDisposable & { readonly host: string; readonly asked: IncomingMessage[] };

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
  const asked: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    asked.push(request);
    answer(request, response);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    async [Symbol.asyncDispose]() {
      const closed = new Promise(resolve => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

const signal = new AbortController().signal;
const secret = (request: IncomingMessage): string =>
  `${request.headers.authorization ?? ''}${request.headers.cookie ?? ''}`;
const resolve = (client: ReturnType<typeof openTestClient>, host: string, credential = alice) =>
  client.resolve({ registry: host, path: 'team/model', tag: 'v1' }, keyringOf(credential), signal);

/** Answers every request with this challenge. */
const challenging = (challenge: (nth: number) => string) => {
  let nth = 0;
  return (_: IncomingMessage, response: ServerResponse) =>
    response.writeHead(401, { 'www-authenticate': challenge(nth++), 'content-length': '0' }).end();
};

for (const [what, challenge] of [
  [
    'on another host by http',
    (host: string) => `Bearer realm="http://localhost:${host.split(':')[1]}/token"`,
  ],
  [
    'with a user name before the real host',
    (host: string) => `Bearer realm="http://127.0.0.1@localhost:${host.split(':')[1]}/t"`,
  ],
  [
    'with a backslash before the real host',
    (host: string) => `Bearer realm="http:\\\\\\\\localhost:${host.split(':')[1]}\\\\127.0.0.1/t"`,
  ],
  ['of another scheme', () => 'Bearer realm="file:///etc/passwd"'],
  ['that is relative', () => 'Bearer realm="/token"'],
  [
    'in a second parameter of one name',
    (host: string) => `Bearer realm="ftp://x/",realm="http://127.0.0.1:${host.split(':')[1]}/"`,
  ],
  [
    'after a header that cannot be read',
    (host: string) => `Bearer realm="http://localhost:${host.split(':')[1]}/t" ,,=,"`,
  ],
] as const) {
  test(`a realm ${what} receives no credential`, async () => {
    await using stranger = await serve((_, response) => response.end('{"token":"x"}'));
    await using registry = await serve(challenging(() => challenge(stranger.host)));
    await using client = openTestClient();
    for (const credential of [alice, identity]) {
      await assert.rejects(resolve(client, registry.host, credential));
    }
    assert.deepEqual(
      stranger.asked.map(secret).filter(text => text !== ''),
      [],
    );
  });
}

test('a challenge that changes after the first answer receives no second credential', async () => {
  await using stranger = await serve((_, response) => response.end('{"token":"x"}'));
  await using registry = await serve(
    challenging(nth =>
      nth % 2 === 0 ? 'Basic' : `Bearer realm="http://localhost:${stranger.host.split(':')[1]}/"`,
    ),
  );
  await using client = openTestClient();
  for (let nth = 0; nth < 4; nth++) await assert.rejects(resolve(client, registry.host));
  assert.equal(stranger.asked.length, 0);
});

test('a redirect of a token server carries no credential, and its token is sent to its registry only', async () => {
  await using stranger = await serve((_, response) => response.end('{"token":"of-the-stranger"}'));
  await using registry = await serve((request, response) => {
    if (request.url?.startsWith('/token') === true) {
      response.writeHead(307, { location: `http://${stranger.host}/token`, 'content-length': '0' }).end();
    } else if (request.headers.authorization === undefined) {
      response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${registry.host}/token"` }).end();
    } else {
      response.writeHead(307, { location: `http://${stranger.host}/v2/` }).end();
    }
  });
  await using client = openTestClient();
  await resolve(client, registry.host);
  assert.ok(stranger.asked.length > 1);
  assert.deepEqual(
    stranger.asked.map(secret).filter(text => text !== ''),
    [],
  );
});

test('errors and retries do not quote a server that repeats its credential', async () => {
  const echo = (status: number) => (request: IncomingMessage, response: ServerResponse) => {
    let body = '';
    request.on('data', chunk => (body += String(chunk)));
    request.on('end', () => {
      if (request.headers.authorization === undefined && body === '') {
        const realm =
          request.url?.startsWith('/token') === true ? '' : `http://${request.headers.host}/token`;
        const challenge = status % 2 === 0 || realm === '' ? 'Basic' : `Bearer realm="${realm}"`;
        response.writeHead(401, { 'www-authenticate': challenge, 'content-length': '0' }).end();
        return;
      }
      const { authorization = '' } = request.headers;
      const said = `${authorization} ${Buffer.from(authorization.split(' ')[1] ?? '', 'base64').toString()} ${body}`;
      response
        .writeHead(status)
        .end(JSON.stringify({ errors: [{ code: 'DENIED', message: said.slice(0, 200) }] }));
    });
  };
  for (const status of [400, 401, 403, 404, 429, 500, 501, 503]) {
    await using registry = await serve(echo(status));
    const told: string[] = [];
    await using client = openTestClient({ onRetry: ({ reason }) => told.push(reason) });
    for (const credential of [alice, identity]) {
      await assert.rejects(resolve(client, registry.host, credential), (thrown: Error) => {
        told.push(thrown.message);
        return true;
      });
    }
    const secrets = [/wörd/, /refresh-me/, new RegExp(btoa('alice:').slice(0, 7))];
    for (const text of told) for (const pattern of secrets) assert.doesNotMatch(text, pattern);
    assert.ok(registry.asked.some(request => secret(request) !== ''));
  }
});

test('cookies are never sent back', async () => {
  await using registry = await serve((_, response) =>
    response.writeHead(503, { 'set-cookie': 'session=1; Path=/', 'content-length': '0' }).end(),
  );
  await using client = openTestClient();
  await assert.rejects(resolve(client, registry.host));
  assert.ok(registry.asked.length > 1);
  assert.ok(registry.asked.every(request => request.headers.cookie === undefined));
});

test('an endless error, token or list ends the request', async () => {
  const endless = (status: number) => (_: IncomingMessage, response: ServerResponse) => {
    response.writeHead(status, { 'content-type': 'application/vnd.oci.image.index.v1+json' });
    const more = () => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536, 0x20)));
    };
    response.on('drain', more);
    more();
  };
  const reference = { registry: '', path: 'team/model', tag: 'v1' };
  const digest = toDigest('sha256', '0'.repeat(64));
  for (const status of [200, 400, 403, 404, 302]) {
    await using registry = await serve(endless(status));
    await using client = openTestClient();
    const here = { ...reference, registry: registry.host };
    const descriptor = { mediaType: '', digest, size: 100, annotations: {} };
    await assert.rejects(client.manifest(here, descriptor, anonymous, signal));
    await assert.rejects(client.referrers(here, digest, 'x/bundle', anonymous, signal));
  }
});

test('endless headers and challenges of separators end the request soon', async () => {
  const start = performance.now();
  for (const challenge of [
    'a '.repeat(7_000),
    ','.repeat(15_000),
    `Bearer realm="${'\\'.repeat(14_999)}`,
    `Bearer ${' '.repeat(14_000)}`,
    `Bearer ${'a=b '.repeat(3_500)}`,
    'x'.repeat(100_000),
  ]) {
    await using registry = await serve((_, response) => {
      response.socket?.end(`HTTP/1.1 401 No\r\nwww-authenticate: ${challenge}\r\ncontent-length: 0\r\n\r\n`);
    });
    await using client = openTestClient();
    await assert.rejects(resolve(client, registry.host));
  }
  assert.ok(performance.now() - start < 10_000);
});
