import assert from 'node:assert/strict';
import { PassThrough, Writable } from 'node:stream';
import { test } from 'node:test';
import { received, sender } from './message-stream.ts';

const never = new AbortController().signal;

test('the call ends if the caller sends no message in time', async () => {
  const wire = new PassThrough({ objectMode: true });
  wire.write('first');
  const messages = received<string>(wire, never, 50);
  assert.equal((await messages.next()).value, 'first');
  await assert.rejects(messages.next(), {
    code: 'unavailable',
    message: 'the caller has sent nothing for 0.05 s; call again',
  });
});

test('waiting for a message ends with the signal', async () => {
  const reason = new Error('over');
  const messages = received(new PassThrough({ objectMode: true }), AbortSignal.abort(reason));
  await assert.rejects(messages.next(), reason);
});

/** A caller that reads so many messages and no more. */
function openWire(takes: number): Writable & { readonly cancelled: boolean } {
  let taken = 0;
  const wire = new Writable({
    objectMode: true,
    highWaterMark: 4,
    write(_message, _encoding, done) {
      if (++taken <= takes) setImmediate(done);
    },
  });
  return Object.assign(wire, { cancelled: false });
}

test('sending waits for a slow reader', async () => {
  const wire = openWire(100);
  const send = sender(wire, never);
  for (let message = 0; message < 100; message++) {
    await send(message);
    assert.ok(wire.writableLength < 5);
  }
});

test('a caller that reads nothing costs a few messages, and its call ends', async () => {
  const wire = openWire(0);
  const send = sender(wire, never, 50);
  const refusal = { code: 'unavailable', message: 'the caller has taken nothing for 0.05 s; call again' };
  for (let message = 0; message < 3; message++) await send(message);
  await assert.rejects(send(3), refusal);
  await assert.rejects(send(4), refusal);
  assert.equal(wire.writableLength, 4);
});

test('messages to a caller that has left are dropped', async () => {
  const wire = Object.assign(openWire(0), { cancelled: true });
  await sender(wire, never)('message');
  assert.equal(wire.writableLength, 0);
});
