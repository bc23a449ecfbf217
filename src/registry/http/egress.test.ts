import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openEgress, type RequestReport } from './egress.ts';
import { noProxies } from './proxies.ts';
import type { HttpRequest, Send } from './request.ts';
import { plainTrust } from './tls-trust.ts';

const request: HttpRequest = {
  method: 'GET',
  url: new URL('https://store.example/b/1?signature=secret'),
  headers: { authorization: 'Bearer secret' },
  insecure: false,
  trust: plainTrust,
  connectMs: 1,
  transport: undefined,
  purpose: { mirrorOf: 'registry.example', credential: 'auth file' },
};
const never = new AbortController().signal;

/** Returns the report of one request, with a clock that advances by 5 ms each time. */
async function reportOf(send: Send): Promise<readonly RequestReport[]> {
  const reports: RequestReport[] = [];
  let now = 0;
  const clock = { now: () => (now += 5) };
  const egress = openEgress({
    send,
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
