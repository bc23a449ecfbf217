import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { publishRequest, startDaemon, type TestDaemon, testNode } from '../support/node/daemon.ts';
import { main } from '../support/node/main.ts';
import { readTree } from '../support/oci/tree.ts';
import { runProgram } from '../support/os/program.ts';
import { needs } from '../support/project/tools.ts';
import { oras } from '../support/registry/oras.ts';
import { startRealRegistry } from '../support/registry/real-registry.ts';

/** What is pushed by name; the key is the tag. `files` are written first, then `oras push` is given `args`. */
const artifacts = {
  single: { args: ['model.bin'] },
  several: { args: ['model.bin', 'README.md', 'empty'] },
  nested: { args: ['weights/0/a.safetensors', 'weights/1/b.safetensors', 'config/config.json'] },
  directory: { args: ['weights/'] },
  'directory-and-files': { args: ['README.md', 'weights/', 'config/config.json'] },
  'with-type': { args: ['--artifact-type', 'application/vnd.example.model.v1', 'model.bin', 'README.md'] },
  'with-config': {
    args: ['--config', 'config/config.json:application/vnd.example.config+json', 'model.bin'],
  },
  'with-media-types': { args: ['model.bin:application/octet-stream', 'README.md:text/markdown'] },
  'media-type-of-a-tar': { args: ['README.md:application/vnd.oci.image.layer.v1.tar+gzip'] },
  'one-blob-twice': { args: ['model.bin', 'copy/model.bin'] },
  'image-spec-1.0': { args: ['--image-spec', 'v1.0', 'model.bin', 'weights/'] },
} as const satisfies Record<string, { readonly args: readonly string[] }>;

describe('oras push to a registry, then a volume', needs('root', 'registry', 'oras'), () => {
  const stack = new AsyncDisposableStack();
  after(() => stack.disposeAsync());
  let daemon: TestDaemon;
  let host: string;
  let work: string;

  before(async () => {
    const registry = stack.use(await startRealRegistry());
    const node = stack.use(await testNode([registry.host]));
    daemon = stack.use(await startDaemon(node));
    host = registry.host;
    work = join(node.path, 'work');
    await writeSources(work);
  });

  for (const [tag, { args }] of Object.entries(artifacts)) {
    test(`shows what oras pull gets: ${tag}`, async () => {
      const reference = `${host}/models/tiny:${tag}`;
      const pulled = join(work, '..', `pulled-${tag}`);
      await mkdir(pulled);
      await oras(['push', '--plain-http', reference, ...args], work);
      await oras(['pull', '--plain-http', reference, '--output', pulled], work);

      const request = await publishRequest(daemon.node, { reference });
      await daemon.csi.NodePublishVolume(request);
      assert.deepEqual(readTree(request.target_path), readTree(pulled));
      await daemon.csi.NodeUnpublishVolume(request);
    });
  }

  test('a short name finds the artifact by the search registry', async () => {
    await oras(['push', '--plain-http', `${host}/models/short:1`, 'README.md'], work);
    const request = await publishRequest(daemon.node, { reference: 'models/short:1' });
    await daemon.csi.NodePublishVolume(request);
    assert.deepEqual(Object.keys(readTree(request.target_path)), ['README.md']);
    await daemon.csi.NodeUnpublishVolume(request);
  });

  test('a layout written by oras is loaded as a directory and as a tar, under the given name', async () => {
    const layout = join(work, '..', 'layout');
    const tar = `${layout}.tar`;
    await oras(['push', '--plain-http', `${host}/models/away:1`, 'README.md', 'weights/'], work);
    await oras(
      ['copy', '--from-plain-http', '--to-oci-layout', `${host}/models/away:1`, `${layout}:1`],
      work,
    );
    runProgram('tar', '--create', '--file', tar, '--directory', layout, '.');
    const load = async (...operands: readonly string[]): Promise<string> => {
      const environment = { ...process.env, CSI_ENDPOINT: `unix://${daemon.node.socket}` };
      return (await promisify(execFile)(process.execPath, [main, 'load', ...operands], { env: environment }))
        .stdout;
    };
    // oras names what is in a layout by the tag alone.
    await assert.rejects(load(layout), /calls sha256:\w+ "1", .* give one beside the layout: registry\/repo/);
    await assert.rejects(load(tar, 'models/away:1'), { code: 2, message: /is a short name/ });
    for (const [path, name] of [
      [layout, 'offline.example/models/away:directory'],
      [tar, 'offline.example/models/away:tar'],
    ] as const) {
      assert.match(await load(path, name), new RegExp(`^${name}@sha256:\\w+\n$`));
      const request = await publishRequest(daemon.node, { reference: name, pullPolicy: 'Never' });
      await daemon.csi.NodePublishVolume(request);
      const shown = readTree(request.target_path);
      assert.ok('README.md' in shown && 'weights/0/a.safetensors' in shown, JSON.stringify(shown));
      await daemon.csi.NodeUnpublishVolume(request);
    }
  });
});

async function writeSources(work: string): Promise<void> {
  const model = randomBytes(3_000_000);
  const files = {
    'model.bin': model,
    'copy/model.bin': model,
    'README.md': '# a model\n',
    empty: '',
    'weights/0/a.safetensors': randomBytes(100_000),
    'weights/1/b.safetensors': randomBytes(70_000),
    'weights/a name with späce': 'text',
    'config/config.json': '{}',
  };
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(work, name)), { recursive: true });
    await writeFile(join(work, name), content);
  }
  await mkdir(join(work, 'weights/nothing'));
  await symlink('0/a.safetensors', join(work, 'weights/first'));
}
