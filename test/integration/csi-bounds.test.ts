import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  type Settings,
} from 'node:http2';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pulled } from '../../src/ports/usecases.ts';
import {
  answerOf,
  digest,
  failureOf,
  publishRequest,
  startEdge,
  until,
  volume,
} from '../support/node/csi-edge.ts';
import { startDaemon, testNode } from '../support/node/daemon.ts';

const MiB = 1024 * 1024;

/** A connection whose calls a test sends piece by piece. */
function openSession(
  socket: string,
  settings: Settings = {},
): Disposable & { readonly session: ClientHttp2Session } {
  const session = connectHttp2('http://localhost', { createConnection: () => connect(socket), settings });
  session.on('error', () => {}).setMaxListeners(0);
  return { session, [Symbol.dispose]: () => session.destroy() };
}

function request(session: ClientHttp2Session, path: string): ClientHttp2Stream {
  const call = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  return call.on('error', () => {});
}

/** What stands before a message of so many bytes. */
function head(bytes: number): Buffer {
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(bytes, 1);
  return frame;
}

/** Begins a message of so many bytes and sends all but the last. */
function halfSend(session: ClientHttp2Session, bytes: number): ClientHttp2Stream {
  const call = request(session, '/csi.v1.Node/NodePublishVolume').resume();
  call.write(head(bytes));
  call.write(Buffer.alloc(bytes - 1));
  return call;
}

/** Resident memory of a process, MiB. */
function residentOf(pid: number): number {
  const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(found?.[1]) / 1024;
}

test('incomplete messages take little memory, and calls are answered meanwhile', async () => {
  await using node = await testNode();
  await using daemon = await startDaemon(node);
  using client = openSession(node.socket);
  const before = residentOf(daemon.pid);
  for (let i = 0; i < 100; i++) halfSend(client.session, 2 * MiB);
  let most = 0;
  for (let i = 0; i < 20; i++) {
    await daemon.identity.Probe({}, { deadline: Date.now() + 2000 });
    await sleep(100);
    most = Math.max(most, residentOf(daemon.pid));
  }
  assert.ok(most - before < 100, `the daemon grew from ${before} to ${most} MiB`);
});

const pulled: Pulled = {
  reference: 'registry.test/a:1',
  digest,
  manifest: digest,
  view: 'v1',
  path: '/views/v1',
  bytes: 1,
  inodes: 1,
  notes: [],
};

const publishing = { publish: async () => volume };

test('500 concurrent publishes on one connection are all answered', async () => {
  await using edge = await startEdge({ publishing });
  const calls = Array.from({ length: 500 }, () =>
    answerOf(done => edge.node.NodePublishVolume(publishRequest, done)),
  );
  assert.equal((await Promise.all(calls)).length, 500);
});

test('concurrent publishes that exceed the bound together are all answered', async () => {
  await using edge = await startEdge({ publishing });
  const request = { ...publishRequest, secrets: { '.dockerconfigjson': 'x'.repeat(MiB) } };
  const calls = Array.from({ length: 60 }, () =>
    answerOf(done => edge.node.NodePublishVolume(request, done)),
  );
  assert.equal((await Promise.all(calls)).length, 60);
});

test('publishes with large secrets in progress share 64 MiB, and others are answered meanwhile', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let begun = 0;
  await using edge = await startEdge({
    publishing: {
      publish: async ({ secrets }) => {
        begun++;
        if (Object.keys(secrets).length > 0) await promise;
        return volume;
      },
    },
  });
  const large = { ...publishRequest, secrets: { '.dockerconfigjson': 'x'.repeat(MiB) } };
  const refused: string[] = [];
  const all = Array.from({ length: 80 }, () =>
    answerOf(done => edge.node.NodePublishVolume(large, done)).catch((error: Error) =>
      refused.push(error.message),
    ),
  );
  await until(() => begun + refused.length === 80);
  assert.ok(refused.length >= 80 - 64 && begun > 50, `${begun} begun`);
  assert.match(refused[0] ?? '', /calls with large secrets are in progress/);
  await answerOf(done => edge.node.NodePublishVolume(publishRequest, done));
  resolve();
  await Promise.all(all);
  await answerOf(done => edge.node.NodePublishVolume(large, done));
});

test('a message larger than any publish of kubelet is refused', async () => {
  await using edge = await startEdge({ publishing });
  const request = { ...publishRequest, secrets: { '.dockerconfigjson': 'x'.repeat(2 * MiB) } };
  const { code } = await failureOf(done => edge.node.NodePublishVolume(request, done));
  assert.equal(code, 'RESOURCE_EXHAUSTED');
});

test('a chunk of an archive that is too large is refused before it is complete', async () => {
  await using edge = await startEdge({
    artifacts: {
      async load(tar) {
        for await (const _ of tar);
        return [];
      },
    },
  });
  const { code, text } = await failureOf(done =>
    edge.artifacts.Load(done).write({ chunk: Buffer.alloc(MiB) }),
  );
  assert.equal(code, 'INVALID_ARGUMENT');
  assert.equal(text, 'a message of this call may have 262144 bytes; send the content in smaller pieces');
});

test('a few loads run concurrently, and a further one is told to retry', async () => {
  let loads = 0;
  const answered = Promise.withResolvers<[]>();
  await using edge = await startEdge({
    artifacts: {
      load() {
        loads++;
        return answered.promise;
      },
    },
  });
  const load = (): Promise<unknown> =>
    answerOf(done => edge.artifacts.Load(done).write({ reference: 'registry.test/a:1' }));
  const open = Array.from({ length: 8 }, load);
  await until(() => loads === 8);
  await assert.rejects(load(), { details: '8 calls of this method are open; call again later' });
  answered.resolve([]);
  assert.equal((await Promise.all(open)).length, 8);
  await load();
});

/** Requests a stream of answers and reads nothing until `read`, which counts them. */
function askUnread(
  socket: string,
  path: string,
  message: Buffer = Buffer.alloc(0),
): Disposable & { read(): Promise<number> } {
  const client = openSession(socket, { initialWindowSize: 0 });
  const call = request(client.session, path);
  call.end(Buffer.concat([head(message.length), message]));
  return {
    async read() {
      client.session.settings({ initialWindowSize: 65_535 });
      let bytes = Buffer.concat(await Array.fromAsync<Buffer>(call));
      let count = 0;
      for (; bytes.length > 0; count++) bytes = bytes.subarray(5 + bytes.readUInt32BE(1));
      return count;
    },
    [Symbol.dispose]: () => client[Symbol.dispose](),
  };
}

test('fsck runs no faster than its findings are read', async () => {
  let reported = 0;
  await using edge = await startEdge({
    artifacts: {
      async fsck(_, onFinding) {
        for (; reported < 5000; reported++) {
          await onFinding({
            path: '/state/blobs',
            problem: 'wrong',
            artifacts: [],
            keptBy: [],
            repaired: false,
          });
        }
        return { checked: reported };
      },
    },
  });
  using call = askUnread(edge.socket, '/ociartifact.v1.Artifacts/Fsck');
  await until(() => reported > 0);
  await sleep(300);
  assert.ok(reported < 100, `${reported} findings were reported to a caller who reads none`);
  assert.equal(await call.read(), 5001);
});

test('progress that a caller does not read is dropped', async () => {
  const done = Promise.withResolvers<void>();
  const step = { bytes: 1, totalBytes: 2, layers: 0, totalLayers: 1, bytesPerSecond: 0 };
  await using edge = await startEdge({
    artifacts: {
      async pull(_, onProgress) {
        for (let i = 0; i < 500; i++) {
          onProgress({ ...step, phase: i % 2 === 0 ? 'download' : 'unpack' });
          await sleep(0);
        }
        done.resolve();
        return pulled;
      },
    },
  });
  using call = askUnread(edge.socket, '/ociartifact.v1.Artifacts/Pull', Buffer.from('\n\x03a:1'));
  await done.promise;
  const messages = await call.read();
  assert.ok(messages > 1 && messages < 100, `${messages} messages were kept`);
});
