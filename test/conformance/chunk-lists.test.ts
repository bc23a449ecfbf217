import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { chunksAnnotation, parseChunkList } from '../../src/oci/chunk-list.ts';
import type { Descriptor } from '../../src/oci/descriptor.ts';
import { parseDigest } from '../../src/oci/digest.ts';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { main } from '../support/node/main.ts';
import { needs, toolPath } from '../support/project/tools.ts';
import { oras } from '../support/registry/oras.ts';
import { startRealRegistry } from '../support/registry/real-registry.ts';

const run = promisify(execFile);
const chunk = 4 * 1024 * 1024;

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/** In a process of its own: a read of a volume may wait for this one. */
async function hashOf(path: string): Promise<string> {
  const { stdout } = await run('sha256sum', [path], { timeout: 60_000, killSignal: 'SIGKILL' });
  return stdout.replace(/^\\/, '').slice(0, 64);
}

test(
  'the command that chunks prints pushes files with their lists, by which a volume is loaded on demand',
  needs('root', 'registry', 'oras'),
  async () => {
    await using stack = new AsyncDisposableStack();
    const registry = stack.use(await startRealRegistry());
    const node = stack.use(await testNode([registry.host]));
    const daemon = stack.use(await startDaemon(node));
    const work = join(node.path, 'work');
    const files = { 'model.gguf': randomBytes(2 * chunk + 5), "it's/a part.bin": randomBytes(chunk) };
    for (const [name, bytes] of Object.entries(files)) {
      await mkdir(dirname(join(work, name)), { recursive: true });
      await writeFile(join(work, name), bytes);
    }

    const { stdout } = await run(process.execPath, [main, 'chunks', ...Object.keys(files)], { cwd: work });
    const reference = `${registry.host}/models/listed:1`;
    const env = { ...process.env, PATH: dirname(toolPath('oras')), DOCKER_CONFIG: work };
    const command = stdout.replace(' REFERENCE ', ` --plain-http ${reference} `);
    await run('/bin/sh', ['-c', command], { cwd: work, env });

    const fetched = await oras(['manifest', 'fetch', '--plain-http', reference], work);
    const manifest = JSON.parse(fetched) as { readonly layers: readonly Descriptor[] };
    for (const [name, bytes] of Object.entries(files)) {
      const layer = manifest.layers.find(
        ({ annotations }) => annotations['org.opencontainers.image.title'] === name,
      );
      assert.ok(layer !== undefined, name);
      const list = manifest.layers.find(({ digest }) => digest === layer.annotations[chunksAnnotation]);
      assert.equal(list?.mediaType, 'application/vnd.oci-artifact-csi.chunks.v1');
      const document = await readFile(join(work, `${name}.chunks`));
      assert.equal(list.digest, parseDigest(`sha256:${sha256(document).toString('hex')}`));
      const { chunkSize, digests } = parseChunkList(document, layer);
      assert.equal(chunkSize, chunk);
      const parts = Array.from({ length: Math.ceil(bytes.length / chunk) }, (_, index) =>
        sha256(bytes.subarray(index * chunk, (index + 1) * chunk)),
      );
      assert.deepEqual(Buffer.from(digests), Buffer.concat(parts));
    }

    const request = await publishRequest(node, { reference, loading: 'onDemand' });
    await daemon.csi.NodePublishVolume(request);
    const [key = ''] = await readdir(join(node.stateDir, 'late'));
    const record = JSON.parse(await readFile(join(node.stateDir, 'late', key, 'record'), 'utf8')) as {
      readonly byChunk?: readonly { readonly list?: string }[];
    };
    assert.equal(record.byChunk?.filter(({ list }) => list !== undefined).length, 2, daemon.output());
    assert.deepEqual((await readdir(request.target_path)).toSorted(), ["it's", 'model.gguf']);
    assert.deepEqual(await readdir(join(request.target_path, "it's")), ['a part.bin']);
    for (const [name, bytes] of Object.entries(files))
      assert.equal(await hashOf(join(request.target_path, name)), sha256(bytes).toString('hex'), name);
    await daemon.csi.NodeUnpublishVolume(request);
  },
);
