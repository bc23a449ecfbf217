import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { waitUntil } from '../support/node/child.ts';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { pushImage } from '../support/oci/image.ts';
import { tarOf } from '../support/oci/tar.ts';
import { needs, toolPath } from '../support/project/tools.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { basic } from '../support/registry/guarded-registry.ts';

test(
  'ctr of containerd reads what is shared of the cache, and changes nothing',
  needs('root', 'ctr'),
  async t => {
    await using open = await openFaultyRegistry();
    await using closed = await openFaultyRegistry({ guard: basic });
    await using node = await testNode([open.host, closed.host]);
    const socket = join(node.path, 'containerd.sock');
    await using daemon = await startDaemon(node, { flags: { '--containerd-socket': socket } });
    const weights = randomBytes(5 << 20);
    const { reference, digest, layers } = await open.push('models/open', 'v1', [
      { name: 'model.bin', bytes: weights },
    ]);
    const secret = await closed.push('models/closed', 'v1', [
      { name: 'model.bin', bytes: randomBytes(1000) },
    ]);
    const layer = layers[0]?.digest ?? '';
    const [hidden = ''] = secret.layers.map(one => one.digest);

    const ctr = async (
      ...args: readonly string[]
    ): Promise<{ readonly stdout: Buffer; readonly stderr: string }> => {
      const all = ['--address', socket, '--namespace', 'k8s.io', ...args];
      const { stdout, stderr } = await promisify(execFile)(toolPath('ctr'), all, {
        encoding: 'buffer',
        maxBuffer: 64 << 20,
        timeout: 60_000,
      });
      return { stdout, stderr: stderr.toString() };
    };
    const lines = async (...args: readonly string[]): Promise<readonly string[]> =>
      (await ctr(...args)).stdout.toString().trim().split('\n');
    const pull = async (name: string, secrets: Readonly<Record<string, string>> = {}): Promise<void> =>
      void (await daemon.csi.NodePublishVolume(await publishRequest(node, { reference: name }, secrets)));
    const isListed = async (name: string): Promise<boolean> =>
      (await lines('images', 'ls', '-q')).includes(name);
    const failure = (...args: readonly string[]): Promise<string> =>
      ctr(...args).then(
        ({ stderr }) => stderr,
        (thrown: { stderr: Buffer }) => thrown.stderr.toString(),
      );

    await pull(secret.reference, { username: basic.username, password: basic.password });
    await pull(reference);
    await waitUntil(daemon, () => isListed(reference), 'listed');
    const isHere = async (): Promise<boolean> => (await lines('content', 'ls', '-q')).includes(layer);
    await waitUntil(daemon, isHere, 'durable');

    await t.test('images ls shows the public artifact with its digest and size', async () => {
      const [head, row, ...others] = await lines('images', 'ls');
      assert.match(head ?? '', /^REF\s+TYPE\s+DIGEST\s+SIZE/);
      assert.match(
        row ?? '',
        new RegExp(
          `^${reference} +application/vnd\\.oci\\.image\\.manifest\\.v1\\+json +${digest} +5\\.0 MiB`,
        ),
      );
      assert.deepEqual(others, []);
    });

    await t.test('filters select as in containerd', async () => {
      for (const filter of [`name==${reference}`, 'name~="^.+/"', `target.digest==${digest}`])
        assert.deepEqual(await lines('images', 'ls', '-q', filter), [reference], filter);
      for (const filter of [
        `name==${secret.reference}`,
        `target.digest==${secret.digest}`,
        'name~="^docker"',
      ])
        assert.deepEqual(await lines('images', 'ls', '-q', filter), [''], filter);
      assert.match(await failure('images', 'ls', 'name=='), /invalid argument|cannot be parsed/);
    });

    await t.test('content get brings the bytes, and content ls what can be got', async () => {
      const { stdout } = await ctr('content', 'get', layer);
      assert.equal(createHash('sha256').update(stdout).digest('hex'), layer.slice('sha256:'.length));
      const manifest = JSON.parse((await ctr('content', 'get', digest)).stdout.toString()) as {
        layers: { digest: string }[];
      };
      assert.equal(manifest.layers[0]?.digest, layer);
      const listed = await lines('content', 'ls', '-q');
      assert.ok(listed.includes(layer) && listed.includes(digest), listed.join());
      assert.ok(!listed.includes(hidden));
      assert.match(
        (await lines('content', 'ls')).join('\n'),
        new RegExp(`${layer}.*containerd.io/distribution.source.${open.host}=models/open`),
      );
      assert.match(await failure('content', 'get', hidden), /not found/);
    });

    await t.test('images inspect follows the manifest, and the server is introduced', async () => {
      assert.match((await lines('images', 'inspect', reference)).join('\n'), new RegExp(layer));
      assert.match((await lines('version')).join('\n'), /Revision: +oci-artifact-csi/);
      assert.deepEqual(await lines('namespaces', 'ls', '-q'), ['k8s.io']);
      assert.match((await lines('plugins', 'ls')).join('\n'), /io\.containerd\.content\.v1 +content/);
      assert.deepEqual((await lines('content', 'active')).slice(1), []);
    });

    await t.test('what would change something is refused', async () => {
      const refused = /this socket only shows the cache of oci-artifact-csi/;
      assert.match(await failure('content', 'fetch', '--plain-http', reference), refused);
      assert.match(await failure('images', 'pull', '--plain-http', reference), refused);
      assert.match(await failure('images', 'rm', reference), refused);
      assert.match(await failure('images', 'tag', reference, `${open.host}/a:1`), refused);
      assert.match(await failure('content', 'rm', layer), refused);
      assert.match(await failure('namespaces', 'create', 'mine'), refused);
      assert.ok(await isListed(reference));
    });

    await t.test('events tell of a pull, with the names of containerd', async () => {
      const image = await pushImage(open, 'images/told', await tarOf([[{ name: 'file' }, 'content']]));
      using events = watch(toolPath('ctr'), ['--address', socket, 'events']);
      using filtered = watch(toolPath('ctr'), ['--address', socket, 'events', 'topic=="/images/create"']);
      const told = `k8s.io /images/create {"name":"${image.reference}"}`;
      const isTold = (): boolean => [events, filtered].every(({ output }) => output().includes(told));
      // ctr does not say when it has subscribed.
      while (!isTold()) {
        const request = await publishRequest(node, { reference: image.reference });
        await daemon.csi.NodePublishVolume(request);
        await waitUntil(daemon, () => isListed(image.reference), 'listed');
        const until = performance.now() + 5_000;
        await waitUntil(daemon, () => isTold() || performance.now() > until, 'told');
        await daemon.csi.NodeUnpublishVolume(request);
        await daemon.artifacts.Remove({ reference: image.reference });
      }
      assert.match(
        events.output(),
        /k8s\.io \/content\/create \{"digest":"sha256:[0-9a-f]{64}","size":\d+\}/,
      );
      assert.ok(!filtered.output().includes('/content/'));
    });
  },
);

/** A program that prints until it is disposed. */
function watch(path: string, args: readonly string[]): Disposable & { output(): string } {
  const child: ChildProcess = spawn(path, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (output += text));
  return { output: () => output, [Symbol.dispose]: () => void child.kill('SIGKILL') };
}
