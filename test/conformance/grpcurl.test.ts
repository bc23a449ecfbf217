import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { needs, toolPath } from '../support/project/tools.ts';
import { oras } from '../support/registry/oras.ts';
import { startRealRegistry } from '../support/registry/real-registry.ts';

test('grpcurl needs only the socket of the driver', needs('root', 'registry', 'oras', 'grpcurl'), async t => {
  await using registry = await startRealRegistry();
  await using node = await testNode([registry.host]);
  await writeFile(join(node.path, 'hello.txt'), 'hello\n');
  const reference = `${registry.host}/greetings:1`;
  await oras(['push', '--plain-http', reference, 'hello.txt'], node.path);
  await using _daemon = await startDaemon(node);

  const grpcurl = async (verb: string, body?: object): Promise<string> => {
    const data = body === undefined ? [] : ['-d', JSON.stringify(body)];
    const args = ['-plaintext', '-unix', ...data, node.socket, ...verb.split(' ')];
    const { stdout } = await promisify(execFile)(toolPath('grpcurl'), args, { timeout: 60_000 });
    return stdout;
  };
  const call = async (method: string, body: object): Promise<unknown> =>
    JSON.parse(await grpcurl(method, body));

  await t.test('list names every service', async () => {
    assert.deepEqual(
      (await grpcurl('list'))
        .trim()
        .split('\n')
        .filter(name => !name.startsWith('grpc.reflection')),
      ['csi.v1.Identity', 'csi.v1.Node', 'grpc.health.v1.Health', 'ociartifact.v1.Artifacts'],
    );
  });

  await t.test('describe knows services, messages and maps', async () => {
    const service = await grpcurl('describe csi.v1.Node');
    assert.match(service, /rpc NodePublishVolume \( \.csi\.v1\.NodePublishVolumeRequest \) returns/);
    const message = await grpcurl('describe csi.v1.NodePublishVolumeRequest');
    assert.match(message, /map<string, string> volume_context = 8;/);
    assert.match(message, /\.csi\.v1\.VolumeCapability volume_capability = 5;/);
    assert.match(
      await grpcurl('describe ociartifact.v1.Artifacts'),
      /returns \( stream \.ociartifact\.v1\.PullResponse \)/,
    );
  });

  await t.test('health and identity answer', async () => {
    assert.deepEqual(await call('grpc.health.v1.Health/Check', {}), { status: 'SERVING' });
    assert.deepEqual(await call('csi.v1.Identity/Probe', {}), { ready: true });
    const { name } = (await call('csi.v1.Identity/GetPluginInfo', {})) as { name: string };
    assert.equal(name, 'oci-artifact.csi.internal');
  });

  await t.test('publish, stats, unpublish', async () => {
    const request = await publishRequest(node, { reference });
    const { volume_id, target_path } = request;
    assert.deepEqual(await call('csi.v1.Node/NodePublishVolume', request), {});
    assert.equal(readFileSync(join(target_path, 'hello.txt'), 'utf8'), 'hello\n');
    const stats = (await call('csi.v1.Node/NodeGetVolumeStats', {
      volume_id,
      volume_path: target_path,
    })) as {
      readonly usage: readonly { readonly unit: string; readonly used: string }[];
    };
    assert.deepEqual(
      stats.usage.map(({ unit, used }) => [unit, used]),
      [
        ['BYTES', '6'],
        ['INODES', '2'],
      ],
    );
    assert.deepEqual(await call('csi.v1.Node/NodeUnpublishVolume', { volume_id, target_path }), {});
    assert.equal(existsSync(target_path), false);
  });

  await t.test('a pull streams its progress and ends with the result', async () => {
    const stream = await grpcurl('ociartifact.v1.Artifacts/Pull', { reference });
    assert.match(stream, /"result": \{\n\s+"reference": "127\.0\.0\.1:\d+\/greetings:1"/);
  });

  await t.test('an error has a code and a message', async () => {
    const request = await publishRequest(node, { reference: `${registry.host}/greetings:none` });
    await assert.rejects(grpcurl('csi.v1.Node/NodePublishVolume', request), {
      stderr: /Code: NotFound\n\s+Message: .*greetings:none/,
    });
  });
});
