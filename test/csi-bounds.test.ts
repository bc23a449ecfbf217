import assert from 'node:assert/strict';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startEdge } from './support/csi-edge.ts';

/** Begins a publish whose message is promised and not sent. Answers whether the call has ended. */
function halfSend(session: ClientHttp2Session): () => boolean {
  const stream = session.request({
    ':method': 'POST',
    ':path': '/csi.v1.Node/NodePublishVolume',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  let ended = false;
  stream.on('error', () => {});
  stream.on('response', () => {
    ended = true;
  });
  stream.resume();
  stream.write(Buffer.of(0, 0, 16, 0, 0, 1, 2, 3));
  return () => ended;
}

test('of calls that send no whole message, the oldest end, and a call that sends its own is served', async () => {
  await using edge = await startEdge();
  const session = connectHttp2('http://localhost', { createConnection: () => connect(edge.socket) });
  session.on('error', () => {});
  const calls = Array.from({ length: 80 }, () => halfSend(session));
  const endedCalls = (): number => calls.filter(ended => ended()).length;
  for (let i = 0; i < 100 && endedCalls() < 48; i++) await sleep(20);
  assert.equal(endedCalls(), 48);
  assert.ok(calls.slice(0, 48).every(ended => ended()));
  await new Promise<void>((resolve, reject) => {
    edge.identity.Probe({}, error => (error === null ? resolve() : reject(error)));
  });
  assert.equal(endedCalls(), 49);
  session.destroy();
});
