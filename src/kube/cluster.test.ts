import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { afterEach, test } from 'node:test';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { findCluster } from './cluster.ts';

const variables = ['KUBECONFIG', 'KUBERNETES_SERVICE_HOST', 'KUBERNETES_SERVICE_PORT'];
afterEach(() => {
  for (const name of variables) delete process.env[name];
});

for (const [host, port, url] of [
  ['10.96.0.1', '443', 'https://10.96.0.1:443'],
  ['fd00::1', '6443', 'https://[fd00::1]:6443'],
  ['kubernetes.default.svc', '', 'https://kubernetes.default.svc:443'],
] as const) {
  test(`a pod finds the API at ${url}`, async () => {
    process.env['KUBERNETES_SERVICE_HOST'] = host;
    process.env['KUBERNETES_SERVICE_PORT'] = port;
    assert.equal((await findCluster('--events')).url, url);
  });
}

test('a replaced token of the service account is used from the next request', async () => {
  await using directory = await temporaryDirectory();
  await writeFile(join(directory.path, 'ca.crt'), 'CA');
  process.env['KUBERNETES_SERVICE_HOST'] = '10.96.0.1';
  const cluster = await findCluster('--events', directory.path);
  for (const token of ['first', 'second']) {
    await writeFile(join(directory.path, 'token'), `${token}\n`);
    const { ca, headers } = await cluster.credentials();
    assert.deepEqual([ca, headers.authorization], ['CA', `Bearer ${token}`]);
  }
});

test('a daemon without a cluster is told which flag needs one', async () => {
  await assert.rejects(findCluster('--events'), {
    code: 'invalid',
    message: /^--events needs the Kubernetes API: run the daemon in a pod .*, or set KUBECONFIG$/,
  });
});
