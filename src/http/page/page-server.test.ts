import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { digest, nodeStatus, pullsUnderWay, summaries, volume } from '../../../test/support/node/samples.ts';
import type { HttpServer } from '../server.ts';
import { servePage } from './page-server.ts';
import type { PageUseCases } from './page-state.ts';

const loopback = { host: '127.0.0.1', port: 0 };

/** The page of a node with an artifact, a volume and a pull, and what a test adds. */
function openPage(parts: Partial<PageUseCases> = {}): Promise<HttpServer> {
  const useCases: PageUseCases = {
    status: async () => nodeStatus,
    pulls: async () => pullsUnderWay,
    volumes: async () => [volume],
    list: async () => summaries,
    ...parts,
  };
  return servePage(loopback, { nodeId: 'node-1', useCases: () => useCases });
}

/** Sends a request as it is, and returns the whole answer. */
async function ask(server: HttpServer, request: string): Promise<string> {
  const socket = connect(server.port, '127.0.0.1').end(request);
  let answer = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    answer += text;
  });
  await once(socket, 'close');
  return answer;
}

const get = (server: HttpServer, path: string, host = 'localhost'): Promise<string> =>
  ask(server, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);

test('the page shows the node, its pulls, its volumes and its cache', async () => {
  await using server = await openPage();
  const page = await get(server, '/');
  assert.match(page, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(page, /\r\nContent-Type: text\/html; charset=utf-8\r\n/);
  for (const shown of [
    'node-1',
    nodeStatus.stateDir,
    ...nodeStatus.problems,
    summaries[0]?.artifactType ?? '',
    volume.pod?.name ?? '',
    digest,
    'registry.example asks to wait until 12:01',
  ])
    assert.ok(page.includes(shown), shown);
  assert.match(page, /<noscript><meta http-equiv="refresh" content="10"><\/noscript>/);
  const sections = await get(server, '/sections');
  const body = sections.slice(sections.indexOf('<section'));
  assert.ok(page.includes(body.slice(0, 200)), 'the script gets what the page has');
  for (const [path, type] of [
    ['/page.css', 'text/css'],
    ['/page.js', 'text/javascript'],
    ['/icon.svg', 'image/svg+xml'],
  ] as const)
    assert.match(
      await get(server, path),
      new RegExp(`^HTTP/1.1 200 OK\r\n[^]*Content-Type: ${type.replace('+', '\\+')}; `),
    );
  assert.match(await get(server, '/other'), /^HTTP\/1\.1 404 /);
});

test('a time in a record that no date can have leaves the page whole', async () => {
  const far = Number.MAX_SAFE_INTEGER;
  await using server = await openPage({
    volumes: async () => [{ ...volume, publishedAt: far }],
    list: async () => summaries.map(summary => ({ ...summary, usedAt: far, verifiedAt: far })),
  });
  assert.match(await get(server, '/'), /^HTTP\/1\.1 200 OK\r\n[^]*<time datetime="\+275760-09-13T/);
});

test('names of registries and pods are text, whatever they contain', async () => {
  const evil = `"><img src=x onerror=alert(1)><script>alert('&')</script>\u202e\u0007`;
  const [summary] = summaries;
  assert.ok(summary !== undefined);
  await using server = await openPage({
    status: async () => ({ ...nodeStatus, problems: [evil], facts: [evil], stateDir: evil }),
    volumes: async () => [
      { ...volume, reference: evil, damaged: evil, refused: evil, targetPath: evil },
      { ...volume, pod: { namespace: evil, name: evil, uid: evil } },
    ],
    list: async () => [{ ...summary, reference: evil, artifactType: evil }],
    pulls: async () =>
      pullsUnderWay.map(pull => ({
        ...pull,
        progress: {
          ...pull.progress,
          waits: evil,
          current: [{ name: evil, bytes: 1, totalBytes: 2, bytesPerSecond: 1 }],
        },
        wanters: pull.wanters.map(wanter => ({ ...wanter, reference: evil, targetPath: evil })),
      })),
  });
  const page = await get(server, `/?search=${encodeURIComponent(evil)}`);
  assert.doesNotMatch(page, /<img|alert\('|\u202e|\u0007/);
  assert.equal(page.split('<script').length, 2, 'the script of the page alone');
  assert.ok(
    page.includes('value="&quot;&gt;&lt;img src=x onerror=alert(1)&gt;&lt;script&gt;alert(&#39;&amp;&#39;)'),
  );
});

test('nothing but the own style and script may run, and no site may frame, read or change anything', async () => {
  await using server = await openPage();
  for (const path of ['/', '/sections', '/page.js', '/nowhere']) {
    const head = (await get(server, path)).split('\r\n\r\n')[0] ?? '';
    assert.match(head, /Content-Security-Policy: default-src 'none'; style-src 'self'; script-src 'self';/);
    assert.match(head, /frame-ancestors 'none'/);
    assert.match(head, /Cross-Origin-Resource-Policy: same-origin/);
    assert.match(head, /X-Content-Type-Options: nosniff/);
    assert.match(head, /Cache-Control: no-store/);
    assert.doesNotMatch(head, /Access-Control-Allow/);
  }
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS'])
    assert.match(await ask(server, `${method} / HTTP/1.1\r\nHost: localhost\r\n\r\n`), /^HTTP\/1\.1 405 /);
  const head = await ask(server, 'HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  assert.ok(head.startsWith('HTTP/1.1 200 OK\r\n') && head.endsWith('\r\n\r\n'), head);
});

test('a site that resolves its own name to this address gets nothing', async () => {
  await using server = await openPage();
  for (const host of ['localhost', 'LocalHost:9810', '127.0.0.1:1234', '127.9.9.9', '[::1]:9810'])
    assert.match(await get(server, '/', host), /^HTTP\/1\.1 200 /, host);
  for (const host of [
    'evil.example',
    'evil.example:9810',
    'localhost.evil.example',
    '127.0.0.1.evil',
    '10.0.0.1',
    '',
  ])
    assert.match(await get(server, '/', host), /^HTTP\/1\.1 421 Misdirected Request\r\n/, host);
  const two = 'GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n';
  assert.match(await ask(server, two), /^HTTP\/1\.1 421 /);
  assert.match(await ask(server, 'GET / HTTP/1.0\r\n\r\nHost: localhost\r\n'), /^HTTP\/1\.1 421 /);
});

test('thousands of rows are on pages of a hundred, which a search narrows', async () => {
  const volumes = Array.from({ length: 250 }, (_, nth) => ({
    ...volume,
    targetPath: `/t/${nth}`,
    pod: { namespace: 'ml', name: `pod-${String(nth).padStart(3, '0')}`, uid: 'u' },
  }));
  await using server = await openPage({ volumes: async () => volumes });
  const podsOf = (page: string): readonly string[] =>
    [...page.matchAll(/<wbr>(pod-\d+)</g)].map(([, name = '']) => name);
  const first = await get(server, '/');
  assert.equal(podsOf(first).length, 100);
  assert.match(first, /page 1 of 3/);
  assert.match(first, /<a href="\/\?volumes=2#volumes">Next/);
  const last = await get(server, '/?volumes=3&artifacts=1');
  assert.deepEqual([podsOf(last).length, podsOf(last)[0]], [50, 'pod-200']);
  assert.deepEqual(podsOf(await get(server, '/?volumes=999999')), podsOf(last), 'no page is beyond the last');
  assert.deepEqual(podsOf(await get(server, '/?volumes=-1&artifacts=x')), podsOf(first));
  const found = await get(server, '/?search=POD-12&volumes=7');
  assert.deepEqual(
    podsOf(found),
    podsOf(first)
      .concat(volumes.slice(100).map(({ pod }) => pod.name))
      .filter(name => name.startsWith('pod-12')),
  );
  assert.match(await get(server, '/?search=nobody'), /None matches\./);
});

test('however many look, the state is read once a second, and lists once in five', async () => {
  const counts = { status: 0, volumes: 0 };
  await using server = await openPage({
    status: async () => {
      counts.status++;
      return nodeStatus;
    },
    volumes: async () => {
      counts.volumes++;
      return [volume];
    },
  });
  const began = performance.now();
  await Promise.all(Array.from({ length: 25 }, () => get(server, '/sections')));
  const seconds = (performance.now() - began) / 1000;
  assert.ok(counts.status <= 1 + Math.floor(seconds), `${counts.status} in ${seconds} s`);
  assert.ok(counts.volumes <= 1 + Math.floor(seconds / 5), `${counts.volumes} in ${seconds} s`);
});

test('a daemon that waits says so, and its page is loaded again', async () => {
  await using server = await servePage(loopback, {
    nodeId: 'node-1',
    useCases: () => 'waits for process 1 on <b> to end',
  });
  const page = await get(server, '/');
  assert.match(page, /^HTTP\/1\.1 503 /);
  assert.match(page, /waits for process 1 on &lt;b&gt; to end/);
  assert.match(page, /<meta http-equiv="refresh" content="2">/);
});
