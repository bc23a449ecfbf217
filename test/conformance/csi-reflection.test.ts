import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Server } from '@grpc/grpc-js';
import { nodeHandlers } from '../../src/grpc/csi/node.ts';
import { loadDefinitions } from '../../src/grpc/edge/definitions.ts';
import { openDrain } from '../../src/grpc/edge/drain.ts';
import { protoDirectory, protoFiles } from '../../src/grpc/edge/proto-files.ts';
import { reflectionServices } from '../../src/grpc/edge/reflection.ts';
import { bindSocket } from '../../src/grpc/edge/socket.ts';
import { captureLog, publishRequest, startEdge, targetPath, volume } from '../support/node/csi-edge.ts';
import { at } from '../support/node/samples.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { toolPath } from '../support/project/tools.ts';

const run = promisify(execFile);

/** grpcurl as a user calls it, with only the socket. */
async function grpcurl(
  socket: string,
  words: readonly string[],
  flags: readonly string[] = [],
): Promise<string> {
  const arguments_ = ['-plaintext', '-unix', ...flags, socket, ...words];
  const { stdout } = await run(toolPath('grpcurl'), arguments_, { timeout: 20_000 });
  return stdout;
}

type DescribedMessage = { readonly name: string; readonly fields: readonly string[] };

/** The messages of the proto files at their top level, with the fields of what is nested in them. */
function messagesOf(file: string): readonly DescribedMessage[] {
  const text = readFileSync(join(protoDirectory, file), 'utf8');
  const scope = /^package ([\w.]+);/m.exec(text)?.[1] ?? '';
  return [...text.matchAll(/^message (\w+) \{(?:\}|(.*?)^\})/gms)].map(([, name = '', body = '']) => ({
    name: `${scope}.${name}`,
    fields: fieldsOf(body),
  }));
}

/** Fields and enum values, each in one spelling: grpcurl writes types in full. */
function fieldsOf(text: string): readonly string[] {
  const lines = text.matchAll(/^\s*((?:repeated )?(?:map<[^>]+> |[\w.]+ )?\w+ = \d+);/gm);
  return [...lines].map(([, line = '']) => line.replace(/\.?(?:\w+\.)+(?=\w)/, '')).sort();
}

const versions = ['v1', 'v1alpha'] as const;

for (const [index, version] of versions.entries()) {
  test(`grpcurl lists, describes and calls with reflection ${version} only`, async () => {
    await using directory = await temporaryDirectory();
    const socket = join(directory.path, 'x.sock');
    const edge = { log: captureLog().log, observe: () => {}, drain: openDrain() };
    const publishing = {
      publish: async () => volume,
      unpublish: async () => undefined,
      stats: async () => volume,
      refused() {},
    };
    const server = new Server();
    server.addService(loadDefinitions().csi.v1.Node.service, nodeHandlers(edge, 'node-1', publishing));
    const reflection = reflectionServices(edge, [
      'csi.v1.Node',
      `grpc.reflection.${version}.ServerReflection`,
    ])[index];
    assert.ok(reflection);
    server.addService(reflection.definition, reflection.handlers);
    const bound = await bindSocket(socket, 'always');
    bound.serve(server);
    try {
      assert.equal(
        await grpcurl(socket, ['list']),
        `csi.v1.Node\ngrpc.reflection.${version}.ServerReflection\n`,
      );
      assert.match(await grpcurl(socket, ['list', 'csi.v1.Node']), /^csi\.v1\.Node\.NodePublishVolume$/m);
      const node = await grpcurl(socket, ['describe', 'csi.v1.Node']);
      assert.match(node, /rpc NodePublishVolume \( \.csi\.v1\.NodePublishVolumeRequest \) returns/);
      assert.match(node, /\/\/ Mounts an artifact read-only at target_path\./);
      const method = await grpcurl(socket, ['describe', 'csi.v1.Node.NodeGetVolumeStats']);
      assert.match(method, /^csi\.v1\.Node\.NodeGetVolumeStats is a method:/);
      await grpcurl(socket, ['describe', `grpc.reflection.${version}.ServerReflection`]);
      const request = JSON.stringify({ volume_id: 'v', volume_path: targetPath });
      const stats = await grpcurl(socket, ['csi.v1.Node/NodeGetVolumeStats'], ['-d', request]);
      assert.deepEqual(JSON.parse(stats), {
        usage: [
          { total: '4096', used: '4096', unit: 'BYTES' },
          { total: '7', used: '7', unit: 'INODES' },
        ],
        volume_condition: { message: 'nothing is known to be wrong' },
      });
    } finally {
      await bound.release();
      server.forceShutdown();
    }
  });
}

test('grpcurl describes every message as in its proto file', async () => {
  await using edge = await startEdge();
  const messages = protoFiles.filter(file => file !== 'pluginregistration.proto').flatMap(messagesOf);
  assert.ok(messages.length >= 75);
  for (const { name, fields } of messages) {
    assert.deepEqual(fieldsOf(await grpcurl(edge.socket, ['describe', name])), fields, name);
  }
});

test('descriptions contain the comments of the proto files', async () => {
  await using edge = await startEdge();
  const message = await grpcurl(edge.socket, ['describe', 'ociartifact.v1.PullRequest']);
  assert.match(
    message,
    /\/\/ os\/arch or os\/arch\/variant\. Default: the node's own\.\n {2}string platform = 3;/,
  );
});

test('every service of the socket works with grpcurl', async () => {
  await using edge = await startEdge({
    publishing: { publish: async () => volume },
    artifacts: {
      pull: async (_, onProgress) => {
        onProgress(at('download', 1));
        const { resolved: reference, digest, manifest, view, bytes, inodes } = volume;
        return { reference, digest, manifest, view, path: '/state/views/v1', bytes, inodes, notes: [] };
      },
    },
  });
  assert.deepEqual((await grpcurl(edge.socket, ['list'])).trim().split('\n'), [
    'csi.v1.Identity',
    'csi.v1.Node',
    'grpc.health.v1.Health',
    'grpc.reflection.v1.ServerReflection',
    'grpc.reflection.v1alpha.ServerReflection',
    'ociartifact.v1.Artifacts',
  ]);
  const probe = await grpcurl(edge.socket, ['csi.v1.Identity/Probe']);
  assert.deepEqual(JSON.parse(probe), { ready: true });
  const publish = ['-d', JSON.stringify(publishRequest)];
  assert.deepEqual(JSON.parse(await grpcurl(edge.socket, ['csi.v1.Node/NodePublishVolume'], publish)), {});
  const pull = ['-d', JSON.stringify({ reference: 'registry.test/org/model:v1' })];
  const pulled = await grpcurl(edge.socket, ['ociartifact.v1.Artifacts/Pull'], pull);
  assert.match(pulled, /"phase": "DOWNLOAD"/);
  assert.match(pulled, /"path": "\/state\/views\/v1"/);
  const health = await grpcurl(edge.socket, ['grpc.health.v1.Health/Check']);
  assert.deepEqual(JSON.parse(health), { status: 'SERVING' });
  await assert.rejects(
    grpcurl(edge.socket, ['describe', 'csi.v1.Nobody']),
    /Symbol not found|csi\.v1\.Nobody/,
  );
});

test('no further requests are read from a caller that does not read answers', async () => {
  await using edge = await startEdge();
  const session = connectHttp2('http://localhost', { createConnection: () => connect(edge.socket) });
  session.on('error', () => {});
  const stream = session.request({
    ':method': 'POST',
    ':path': '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => {});
  stream.pause();
  const name = Buffer.from('csi.v1.Node');
  const question = Buffer.concat([Buffer.of(0, 0, 0, 0, name.length + 2, 0x22, name.length), name]);
  const many = Buffer.concat(Array(1000).fill(question));
  let taken = 0;
  const isTaken = async (): Promise<boolean> =>
    stream.write(many) || Promise.race([once(stream, 'drain').then(() => true), sleep(1000, false)]);
  while (taken < 40 && (await isTaken())) taken++;
  assert.ok(taken < 30, `${taken},000 questions were taken`);
  stream.close();
  session.destroy();
});
