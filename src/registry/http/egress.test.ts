import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ArtifactError } from '../../util/error.ts';
import { noProxies, openEgress, parseProxies, type RequestReport } from './egress.ts';
import type { HttpRequest, Send } from './request.ts';
import { plainTrust } from './tls.ts';

const request: HttpRequest = {
  method: 'GET',
  url: new URL('https://store.example/b/1?signature=secret'),
  headers: { authorization: 'Bearer secret' },
  insecure: false,
  trust: plainTrust,
  connectMs: 1,
  origin: { kind: 'reference' },
  transport: undefined,
  purpose: { mirrorOf: 'registry.example', credential: 'auth file' },
};
const never = new AbortController().signal;

/** Returns the report of one request, with a clock that advances by 5 ms each time. */
async function reportOf(send: Send): Promise<readonly RequestReport[]> {
  const reports: RequestReport[] = [];
  let now = 0;
  const clock = { elapsed: () => (now += 5) };
  const egress = openEgress({
    send,
    sendByProxy: send,
    proxies: noProxies,
    trust: () => plainTrust,
    isNamed: () => false,
    onRequest: report => reports.push(report),
    clock,
  });
  await egress(request, () => () => {}, never).catch(() => {});
  return reports;
}

const seen = { method: 'GET', host: 'store.example', path: '/b/1', ms: 5 };
const { purpose } = request;

test('a response is reported with its status and size, and nothing secret', async () => {
  const head = { status: 200, headers: { 'content-length': '7' } };
  const reports = await reportOf(async (_, accept) => {
    accept(head);
    return head;
  });
  assert.deepEqual(reports, [{ ...seen, status: 200, bytes: 7, ...purpose }]);
});

test('a failure is reported with its reason, and in mid-body with the status', async () => {
  const silent = await reportOf(async () => {
    throw new Error('no connection');
  });
  assert.deepEqual(silent, [{ ...seen, ...purpose, error: 'no connection' }]);
  const cut = await reportOf(async (_, accept) => {
    accept({ status: 206, headers: {} });
    throw new Error('cut');
  });
  assert.deepEqual(cut, [{ ...seen, status: 206, ...purpose, error: 'cut' }]);
});

const proxy = 'http://proxy.example:3128';
const find = (environment: Record<string, string>, url: string) =>
  parseProxies(environment).find(new URL(url));

describe('the variable for the scheme, in lower or upper case', () => {
  const rows: readonly (readonly [Record<string, string>, string, string | undefined])[] = [
    [{ HTTPS_PROXY: proxy }, 'https://r.io/', 'proxy.example:3128'],
    [{ https_proxy: proxy }, 'https://r.io/', 'proxy.example:3128'],
    [{ HTTPS_PROXY: proxy, https_proxy: 'http://other:1' }, 'https://r.io/', 'proxy.example:3128'],
    [{ HTTPS_PROXY: '', https_proxy: proxy }, 'https://r.io/', 'proxy.example:3128'],
    [{ HTTPS_PROXY: proxy }, 'http://r.io/', undefined],
    [{ HTTP_PROXY: proxy }, 'http://r.io/', 'proxy.example:3128'],
    [{ HTTP_PROXY: proxy }, 'https://r.io/', undefined],
    [{ HTTPS_PROXY: 'proxy.example:3128' }, 'https://r.io/', 'proxy.example:3128'],
    [{ HTTPS_PROXY: 'https://proxy.example' }, 'https://r.io/', 'proxy.example'],
    [{}, 'https://r.io/', undefined],
  ];
  for (const [environment, url, host] of rows) {
    test(`${JSON.stringify(environment)} for ${url}: ${host ?? 'none'}`, () => {
      assert.equal(find(environment, url)?.url.host, host);
    });
  }
});

describe('NO_PROXY', () => {
  const rows: readonly (readonly [list: string, url: string, direct: boolean])[] = [
    ['*', 'https://r.io/', true],
    ['r.io', 'https://r.io/', true],
    ['r.io', 'https://deep.sub.r.io/', true],
    ['r.io', 'https://xr.io/', false],
    ['r.io', 'https://r.io.evil.example/', false],
    ['.r.io', 'https://r.io/', false],
    ['.r.io', 'https://sub.r.io/', true],
    ['*.r.io', 'https://sub.r.io/', true],
    ['*.r.io', 'https://r.io/', false],
    ['R.IO', 'https://r.io/', true],
    ['r.io', 'https://r.io./', true],
    [' a.io , r.io ', 'https://r.io/', true],
    [',,', 'https://r.io/', false],
    ['r.io:443', 'https://r.io/', true],
    ['r.io:5000', 'https://r.io/', false],
    ['r.io:5000', 'https://r.io:5000/', true],
    ['r.io', 'https://r.io:5000/', true],
    ['10.1.2.3', 'https://10.1.2.3/', true],
    ['10.1.2.3', 'https://10.1.2.30/', false],
    ['10.1.2.3:5000', 'https://10.1.2.3:5000/', true],
    ['10.1.2.3:5000', 'https://10.1.2.3/', false],
    ['10.0.0.0/8', 'https://10.200.1.1:5000/', true],
    ['10.0.0.0/8', 'https://11.0.0.1/', false],
    ['10.0.0.0/8', 'https://r.io/', false],
    ['10.0.0.0/99', 'https://10.0.0.1/', false],
    ['fd00::/8', 'https://[fd12::1]/', true],
    ['fd00::/8', 'https://[fe80::1]/', false],
    ['fd12::1', 'https://[fd12:0::1]:5000/', true],
    ['[fd12::1]:5000', 'https://[fd12::1]:5000/', true],
    ['[fd12::1]:5000', 'https://[fd12::1]/', false],
    ['', 'https://localhost:5000/', true],
    ['', 'https://127.9.9.9/', true],
    ['', 'https://[::1]:30020/', true],
  ];
  for (const [list, url, direct] of rows) {
    test(`"${list}" and ${url}: ${direct ? 'direct' : 'by the proxy'}`, () => {
      assert.equal(find({ HTTPS_PROXY: proxy, NO_PROXY: list }, url) === undefined, direct);
    });
  }
});

test('username and password of the URL become Proxy-Authorization and are removed from the URL', () => {
  const found = find({ HTTPS_PROXY: 'http://us%40er:p%3Aw%25@proxy.example:3128' }, 'https://r.io/');
  assert.equal(found?.authorization, `Basic ${Buffer.from('us@er:p:w%').toString('base64')}`);
  assert.equal(found?.url.href, 'http://proxy.example:3128/');
});

test('an invalid proxy URL is refused and not quoted', () => {
  for (const text of ['ftp://u:S3CRET@h:1', 'http://', 'http://u:S3CRET@h:port', 'u:S3CRET@']) {
    assert.throws(
      () => parseProxies({ HTTPS_PROXY: text }),
      (thrown: unknown) => {
        assert.ok(thrown instanceof ArtifactError);
        assert.match(
          thrown.message,
          /^HTTPS_PROXY is not the address of a proxy: must be http:\/\/host:port$/,
        );
        return true;
      },
    );
  }
});

test('a SOCKS proxy is refused by that name, and not quoted', () => {
  for (const text of ['socks5://u:S3CRET@h:1', 'socks5h://h:1', 'SOCKS4://h:1']) {
    for (const name of ['HTTPS_PROXY', 'http_proxy']) {
      assert.throws(() => parseProxies({ [name]: text }), {
        code: 'invalid',
        message: `${name.toUpperCase()} names a SOCKS proxy, which this program does not speak to; name one that speaks HTTP: http://host:port`,
      });
    }
  }
});

test('any NO_PROXY yields an answer', () => {
  fc.assert(
    fc.property(fc.string(), fc.webUrl(), (list, url) => {
      find({ HTTPS_PROXY: proxy, HTTP_PROXY: proxy, NO_PROXY: list }, url);
    }),
  );
});
