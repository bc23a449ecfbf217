import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { openTestProxy } from '../support/registry/proxy.ts';

test('the proxy of the environment is used, except for hosts in NO_PROXY', async () => {
  await using proxy = await openTestProxy();
  await using registry = await openFaultyRegistry();
  const host = registry.host.replace('127.0.0.1', 'registry.test'); // a name that the proxy alone knows
  await registry.push('team/model', 'v1', [{ name: 'f', bytes: Buffer.from('model') }]);
  await using node = await testNode([host]);
  const publish = async (noProxy: string) => {
    const env = { HTTPS_PROXY: proxy.url, HTTP_PROXY: proxy.url, NO_PROXY: noProxy };
    await using daemon = await startDaemon(node, { env });
    const request = await publishRequest(node, {
      reference: `${host}/team/model:v1`,
      pullPolicy: 'Always',
    });
    return { ...(await outcomeOf(daemon.csi.NodePublishVolume(request))), path: request.target_path };
  };
  const direct = await publish('.test');
  assert.equal(direct.code, 'UNAVAILABLE');
  assert.match(direct.text, /registry\.test:\d+ cannot be found: no such name in DNS/);
  assert.equal(proxy.asked.length, 0);
  const { code, text, path } = await publish('elsewhere.test');
  assert.equal(code, 'OK', text);
  assert.equal(readFileSync(join(path, 'f'), 'utf8'), 'model');
  assert.ok(proxy.asked.some(({ line }) => line.startsWith(`GET http://${host}/v2/team/model/blobs/`)));
});
