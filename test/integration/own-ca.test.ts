import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { publishRequest, startDaemon, type TestNode, testNode } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { readTree } from '../support/oci/tree.ts';
import { needs } from '../support/project/tools.ts';
import { oras } from '../support/registry/oras.ts';
import { startRealRegistry } from '../support/registry/real-registry.ts';
import { makeCertificate } from '../support/signing/certificate.ts';

/** A real registry with its own CA, which requires a client certificate. */
describe('a registry that requires a client certificate', needs('root', 'registry', 'oras'), () => {
  const stack = new AsyncDisposableStack();
  after(() => stack.disposeAsync());
  const server = makeCertificate();
  const client = makeCertificate('DNS:node.test');
  let node: TestNode;
  let host: string;
  let reference: string;

  before(async () => {
    const registry = stack.use(await startRealRegistry({ ...server, clientCa: client.cert }));
    host = registry.host;
    node = stack.use(await testNode());
    reference = `${host}/models/tiny:1`;
    const pems = { 'ca.crt': server.cert, 'client.cert': client.cert, 'client.key': client.key, f: 'model' };
    for (const [name, text] of Object.entries(pems)) await writeFile(join(node.path, name), text);
    const identity = [
      '--plain-http=false',
      '--cert-file',
      'client.cert',
      '--key-file',
      'client.key',
      '--ca-file',
      'ca.crt',
    ];
    await oras(['push', ...identity, reference, 'f'], node.path);
  });

  /** Publishes with the directory of a flag in place. */
  async function publish(flags: Readonly<Record<string, string>>) {
    await using daemon = await startDaemon({ ...node, stateDir: `${node.stateDir}-${count++}` }, { flags });
    const request = await publishRequest(daemon.node, { reference });
    const outcome = await outcomeOf(daemon.csi.NodePublishVolume(request));
    if (outcome.code === 'OK') assert.deepEqual(Object.keys(readTree(request.target_path)), ['f']);
    return outcome;
  }
  let count = 0;

  test('works with certs.d', async () => {
    const directory = join(node.path, 'certs.d', host);
    await mkdir(directory, { recursive: true });
    for (const [name, text] of [
      ['ca.crt', server.cert],
      ['client.cert', client.cert],
      ['client.key', client.key],
    ] as const) {
      await writeFile(join(directory, name), text);
    }
    const { code, text } = await publish({ '--certs-dir': join(node.path, 'certs.d') });
    assert.equal(code, 'OK', text);
  });

  test('works with the configuration of Talos, which names files by path', async () => {
    const directory = join(node.path, 'hosts', host.replace(/:(\d+)$/, '_$1_'));
    await mkdir(directory, { recursive: true });
    const [ca, cert, key] = ['ca.crt', 'client.cert', 'client.key'].map(name => join(node.path, name));
    await writeFile(
      join(directory, 'hosts.toml'),
      `[host]\n  [host.'https://${host}']\n    ca = '${ca}'\n    client = [['${cert}', '${key}']]\n`,
    );
    const { code, text } = await publish({ '--hosts-dir': join(node.path, 'hosts') });
    assert.equal(code, 'OK', text);
  });

  test('is refused without its CA, and refuses clients that have only the CA', async () => {
    const stranger = await publish({});
    assert.equal(stranger.code, 'UNAVAILABLE');
    assert.match(stranger.text, /the certificate of localhost:\d+ cannot be verified/);
    const nobody = await publish({ '--ca-file': join(node.path, 'ca.crt') });
    assert.equal(nobody.code, 'UNAVAILABLE');
    assert.match(nobody.text, /it may want a client certificate, which --certs-dir can give it/);
  });
});
