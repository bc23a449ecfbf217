import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startDaemon, type TestNode, testNode } from '../support/node/daemon.ts';
import { mountsBelow } from '../support/os/mounts.ts';
import { findExamples } from '../support/project/documents.ts';
import { needs, toolPath } from '../support/project/tools.ts';
import { startRealRegistry } from '../support/registry/real-registry.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');

/** The blocks of a language that a heading of the README has. */
function blocksOf(heading: string, language: string): readonly string[] {
  const section = readme.slice(readme.indexOf(`\n## ${heading}\n`) + 1);
  const end = section.indexOf('\n## ');
  return findExamples(`${section.slice(0, end)}\n`, language);
}

/** Runs lines of the README as they are, but for where this machine has registry, socket and directories. */
async function run(lines: string, node: TestNode, host: string): Promise<string> {
  const script = lines
    .replaceAll('localhost:5000', host)
    .replaceAll('/var/lib/kubelet/plugins/oci-artifact.csi.internal/csi.sock', node.socket)
    .replaceAll('/var/lib/kubelet', node.kubeletDir)
    .replaceAll('/mnt/tiny', join(node.path, 'tiny'));
  const env = {
    PATH: `${dirname(process.execPath)}:${dirname(toolPath('oras'))}:${process.env['PATH']}`,
    HOME: node.path,
    ...(existsSync(node.socket) ? { CSI_ENDPOINT: `unix://${node.socket}` } : {}),
    OCI_ARTIFACT_STATE_DIR: node.stateDir,
    OCI_ARTIFACT_KUBELET_DIR: node.kubeletDir,
    OCI_ARTIFACT_REGISTRIES_CONF_DIR: node.registriesConfDir,
    OCI_ARTIFACT_DISK_MAX: '100',
    OCI_ARTIFACT_CACHE_HIGH: '100', // the disk of the machine is not the test's
  };
  const options = { cwd: root, env, timeout: 60_000 };
  const { stdout } = await promisify(execFile)(
    'bash',
    ['-euc', 'shopt -s expand_aliases; eval "$1"', 'readme', script],
    options,
  );
  return stdout;
}

test('the commands of the README work without a daemon', needs('root', 'registry', 'oras'), async () => {
  await using registry = await startRealRegistry();
  await using node = await testNode([]);
  const [stanza = ''] = blocksOf('Without Kubernetes', 'toml');
  mkdirSync(node.registriesConfDir, { recursive: true });
  writeFileSync(join(node.registriesConfDir, 'local.conf'), stanza.replace('localhost:5000', registry.host));

  const [lines = ''] = blocksOf('Without Kubernetes', 'sh');
  const shown = await run(lines, node, registry.host);
  assert.match(shown, /^REFERENCE +DIGEST .*\n\S+\/models\/tiny:1 +sha256:\w{12} /m, 'ls');
  assert.match(shown, /^-rw-r--r-- .* LICENSE\n-rw-r--r-- .* README\.md$/m, 'the mount');
  assert.match(shown, /^unmounted /m);
  assert.deepEqual(mountsBelow(node.path), []);
});

test(
  'the calls of the README publish and unpublish a volume of a daemon',
  needs('root', 'registry', 'oras', 'grpcurl'),
  async () => {
    await using registry = await startRealRegistry();
    await using node = await testNode([registry.host]);
    await using _daemon = await startDaemon(node);
    const push = 'oras push --plain-http localhost:5000/models/tiny:1 README.md LICENSE\n';
    const [publish = '', calls = ''] = blocksOf('Call the driver by hand', 'sh');
    const shown = await run(`${push}${publish}${calls}`, node, registry.host);
    assert.match(shown, /^-rw-r--r-- .* LICENSE\n-rw-r--r-- .* README\.md$/m, 'the mount');
    for (const part of ['csi.v1.Node is a service', '"ready": true', '"resolved"', '"result"', '"layers"'])
      assert.ok(shown.includes(part), `${part} in ${shown}`);
    assert.deepEqual(mountsBelow(node.path), []);
  },
);
