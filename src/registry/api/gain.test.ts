import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import { nobody, openMemorySink } from '../../../test/support/registry/registry-client.ts';
import { ArtifactError } from '../../util/error.ts';
import { toUpstream } from '../config/route.ts';
import { type Gain, type RetryPolicy, TransientError } from '../http/retry.ts';
import { transfer } from './blob.ts';
import type { Exchange } from './exchange.ts';
import { transferPart } from './part.ts';

const never = new AbortController().signal;
const bytes = Buffer.alloc(100, 7);
const cut = new TransientError('unavailable', 'the connection ended');
const enough = new ArtifactError('cancelled', 'one attempt is enough');

/** Answers after 200 ms with ten bytes, and ends after 50 more. */
const slowly: Exchange = async ({ headers: { range } }, accept) => {
  await sleep(200);
  const own =
    range === undefined ? {} : { 'content-range': `bytes 0-49/${bytes.length}`, 'content-length': '50' };
  const receive = accept({
    status: range === undefined ? 200 : 206,
    headers: own,
    url: new URL('https://r.example'),
    home: true,
  });
  await receive(bytes.subarray(0, 10));
  await sleep(50);
  throw cut;
};

for (const [what, run] of [
  ['blob', transfer],
  [
    'part of a blob',
    (exchange, blob, policy, signal) => transferPart(exchange, { ...blob, from: 0, to: 50 }, policy, signal),
  ],
] as const satisfies readonly (readonly [string, typeof transfer])[]) {
  test(`what an attempt at a ${what} brings is timed from its begin, and from the head of the response`, async () => {
    const gains: Gain[] = [];
    const policy: RetryPolicy = {
      async renew(_failure, gain) {
        gains.push(gain);
        throw enough;
      },
      wait: () => assert.fail(),
    };
    const blob = {
      upstream: toUpstream({ host: 'r.example', path: 'a', insecure: false }),
      bucket: undefined,
      descriptor: describeBlob(bytes),
      sink: openMemorySink(),
      credential: nobody,
      subject: 'r.example/a',
      transport: undefined,
    };
    await assert.rejects(run(slowly, blob, policy, never), enough);
    const [{ received, ms, sentMs } = assert.fail()] = gains;
    assert.equal(received, 10);
    assert.ok(ms - sentMs > 150 && sentMs > 40, `${ms} ms, of which ${sentMs} ms since the head`);
  });
}
