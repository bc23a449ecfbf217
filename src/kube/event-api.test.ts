import assert from 'node:assert/strict';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterAccess } from './cluster.ts';
import { type EventAnswer, openEventApi } from './event-api.ts';
import { toEventObject } from './event-object.ts';

const event = {
  pod: { namespace: 'shop', name: 'web', uid: 'u' },
  targetPath: '/target',
  type: 'Normal',
  reason: 'Pulled',
  kind: '',
  message: 'Pulled m',
} as const;
const never = new AbortController().signal;
const noCredentials: ClusterAccess['credentials'] = async () => ({});

async function createAt(
  answer: (socket: Socket) => void,
  signal: AbortSignal,
  credentials = noCredentials,
): Promise<EventAnswer> {
  const sockets = new Set<Socket>();
  const server = createServer(socket => {
    sockets.add(socket.on('error', () => {}));
    socket.once('data', () => answer(socket));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const api = openEventApi({ access: () => ({ url, credentials }) });
    const object = toEventObject(
      event,
      { message: event.message, firstAt: 0, lastAt: 0, count: 1 },
      'node-1',
    );
    const late = sleep(5_000, 'late' as const, { ref: false });
    const answered = await Promise.race([api.create(object, signal), late]);
    if (answered === 'late') throw new Error('the request did not end in 5 s');
    return answered;
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

for (const [name, text, why] of [
  ['an upgrade', 'HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n', /answered 101/],
  ['no HTTP', 'garbage\r\n\r\n', /cannot be asked/],
  ['the end of the connection', '', /cannot be asked/],
] as const) {
  test(`an API that answers with ${name} fails, and the next event can be sent`, async () => {
    const answered = await createAt(
      socket => void (text === '' ? socket.destroy() : socket.write(text)),
      never,
    );
    assert.equal(answered.kind, 'failed');
    assert.match(answered.kind === 'failed' ? answered.why : '', why);
  });
}

test('a request ends with its signal, whatever it waits for', async () => {
  const waits = [
    createAt(() => {}, AbortSignal.timeout(50)),
    createAt(socket => void socket.write('HTTP/1.1 100 Continue\r\n\r\n'), AbortSignal.timeout(50)),
    createAt(socket => void socket.write('HTTP/1.1 200 OK\r\n\r\n{'), AbortSignal.timeout(50)),
    createAt(
      () => {},
      AbortSignal.timeout(50),
      () => new Promise(() => {}),
    ),
  ];
  for (const answered of await Promise.all(waits)) assert.equal(answered.kind, 'failed');
});
