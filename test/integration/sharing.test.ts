import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { waitUntil } from '../support/node/child.ts';
import { type ContainerdClient, openContainerd } from '../support/node/containerd-client.ts';
import {
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { basic } from '../support/registry/guarded-registry.ts';

const secrets = { username: basic.username, password: basic.password };
const weights = randomBytes(700_000);

type Shown = { readonly reference: string; readonly digest: string; readonly layer: string };

describe('the socket that shows the cache as containerd does', () => {
  const stack = new AsyncDisposableStack();
  after(() => stack.disposeAsync());
  let open: FaultyRegistry;
  let closed: FaultyRegistry;
  let turned: FaultyRegistry;
  let node: TestNode;
  let socket: string;
  let daemon: TestDaemon;
  let client: ContainerdClient;
  let shown: Shown;
  let hidden: Shown;

  const push = async (registry: FaultyRegistry, repository: string, bytes: Buffer): Promise<Shown> => {
    const { reference, digest, layers } = await registry.push(repository, 'v1', [
      { name: 'model.bin', bytes },
    ]);
    return { reference, digest, layer: layers[0]?.digest ?? '' };
  };
  const pull = async (reference: string, given: Readonly<Record<string, string>> = {}): Promise<void> => {
    const request = await publishRequest(node, { reference }, given);
    await daemon.csi.NodePublishVolume(request);
    await daemon.csi.NodeUnpublishVolume(request);
  };
  const restart = async (flags: Readonly<Record<string, string>> = {}): Promise<void> => {
    client?.[Symbol.dispose]();
    await daemon?.[Symbol.asyncDispose]();
    daemon = await startDaemon(node, { flags: { '--containerd-socket': socket, ...flags } });
    await waitUntil(daemon, async () => daemon.output().includes('sharing the cache'), 'sharing');
    client = openContainerd(socket);
  };
  /** Waits until an artifact is durable, and so shown. */
  const untilShown = ({ reference, layer }: Shown): Promise<void> =>
    waitUntil(
      daemon,
      async () => (await client.list()).includes(reference) && (await client.contents()).includes(layer),
      `${reference} shown`,
    );

  before(async () => {
    open = stack.use(await openFaultyRegistry());
    closed = stack.use(await openFaultyRegistry({ guard: basic }));
    turned = stack.use(await openFaultyRegistry());
    node = stack.use(await testNode([open.host, closed.host, turned.host]));
    socket = join(node.path, 'share', 'containerd.sock');
    await mkdir(join(node.path, 'share'));
    shown = await push(open, 'models/open', weights);
    hidden = await push(closed, 'models/closed', randomBytes(1000));
    await restart();
    await pull(hidden.reference, secrets);
    await pull(shown.reference);
    await untilShown(shown);
  });
  after(async () => {
    client?.[Symbol.dispose]();
    await daemon?.[Symbol.asyncDispose]();
  });

  test('only root can connect to it', () => assert.equal(statSync(socket).mode & 0o777, 0o600));

  test('an artifact that was pulled without a credential is listed, and no other', async () => {
    assert.deepEqual(await client.list(), [shown.reference]);
    assert.deepEqual(await client.list('name~="^.+/"', `target.digest==${shown.digest}`), [shown.reference]);
    assert.deepEqual(await client.list(`target.digest==${hidden.digest}`), []);
    const { image } = await client.images.Get({ name: shown.reference });
    assert.equal(image?.target?.digest, shown.digest);
    await assert.rejects(client.images.Get({ name: hidden.reference }), { code: status.NOT_FOUND });
    assert.ok((await client.contents()).includes(shown.layer));
    assert.ok(!(await client.contents()).includes(hidden.layer));
  });

  test('content has its size and the repositories that it comes from', async () => {
    const { info } = await client.content.Info({ digest: shown.layer });
    assert.equal(info?.size, weights.length);
    assert.deepEqual(info?.labels, { [`containerd.io/distribution.source.${open.host}`]: 'models/open' });
    const filter = `labels."containerd.io/distribution.source.${open.host}"~="^."`;
    assert.deepEqual(await client.contents(filter), await client.contents());
    assert.deepEqual(await client.contents('labels."containerd.io/distribution.source.docker.io"'), []);
  });

  test('ranges of content are read', async () => {
    assert.deepEqual(await client.read(shown.layer), weights);
    assert.deepEqual(await client.read(shown.layer, 100_000, 300_000), weights.subarray(100_000, 400_000));
    assert.deepEqual(await client.read(shown.layer, 699_999, 5), weights.subarray(699_999));
    assert.deepEqual(await client.read(shown.layer, weights.length), Buffer.alloc(0));
    await assert.rejects(client.read(shown.layer, weights.length + 1), { code: status.INVALID_ARGUMENT });
  });

  test('private content is refused as content that is not there', async () => {
    const absent = `sha256:${'0'.repeat(64)}`;
    for (const digest of [hidden.layer, hidden.digest, absent]) {
      const refusals = [client.content.Info({ digest }), client.read(digest)];
      for (const refusal of refusals)
        await assert.rejects(refusal, { code: status.NOT_FOUND, details: `content ${digest}: not found` });
    }
    await assert.rejects(client.read('../../secret'), { code: status.INVALID_ARGUMENT });
  });

  test('everything that would change something is refused', async () => {
    const refused = { code: status.PERMISSION_DENIED, details: /this socket only shows the cache/ };
    const { images, content } = client;
    const calls = [
      images.Create,
      images.Update,
      images.Delete,
      content.Update,
      content.Delete,
      content.Abort,
    ];
    for (const call of calls) await assert.rejects(call({}), refused);
    assert.deepEqual(await client.list(), [shown.reference]);
  });

  test('readers that take nothing stop neither others nor volumes, and end with the daemon', async () => {
    using stuck = new DisposableStack();
    for (let nth = 0; nth < 20; nth++) stuck.use(await client.readOnce(shown.layer));
    assert.deepEqual(await client.read(shown.layer), weights);
    await pull(shown.reference);
  });

  test('a client that resets each read keeps its connection', async () => {
    using subscribed = client.subscribe();
    // Spegel does, for each 32 KiB.
    const resetEach = async (): Promise<void> => {
      for (let nth = 0; nth < 150; nth++) (await client.readOnce(shown.layer, 150_000))[Symbol.dispose]();
    };
    await Promise.all(Array.from({ length: 8 }, resetEach));
    assert.deepEqual(await client.read(shown.layer), weights);
    const ended = subscribed.ended.then(({ code }) => code);
    assert.equal(await Promise.race([ended, client.list().then(() => 'open')]), 'open');
  });

  test('content that is removed is read to its end by whoever reads it', async () => {
    const bytes = randomBytes(3_000_000);
    const brief = await push(open, 'models/brief', bytes);
    await pull(brief.reference);
    await untilShown(brief);
    const first = await client.read(brief.layer, 0, 10);
    const reading = client.read(brief.layer);
    await daemon.artifacts.Remove({ reference: brief.reference });
    // The call may also come after the removal.
    const outcome = await reading.catch((thrown: unknown) => thrown);
    if (outcome instanceof Buffer) assert.deepEqual(outcome, bytes);
    else assert.equal((outcome as { code?: unknown }).code, status.NOT_FOUND);
    assert.deepEqual(first, bytes.subarray(0, 10));
    await assert.rejects(client.content.Info({ digest: brief.layer }), { code: status.NOT_FOUND });
  });

  test('a pull and a removal are announced, and those of private artifacts are not', async () => {
    const told = await push(open, 'models/told', randomBytes(2000));
    const untold = await push(closed, 'models/untold', randomBytes(2000));
    using all = client.subscribe();
    using some = client.subscribe(
      'namespace=="k8s.io",topic~="/images/create|/images/update",event.name~="^.+/"',
    );
    await client.list(); // after the subscriptions on this connection
    await pull(untold.reference, secrets);
    await pull(told.reference);
    await all.until('/images/create', told.reference);
    const created = await all.until('/content/create', told.layer);
    assert.equal(created.size, 2000);
    await some.until('/images/create', told.reference);
    await daemon.artifacts.Remove({ reference: told.reference });
    await all.until('/images/delete', told.reference);
    await all.until('/content/delete', told.layer);
    const keys = all.events.map(({ key }) => key);
    for (const key of [untold.reference, untold.layer, untold.digest]) assert.ok(!keys.includes(key), key);
    assert.deepEqual(new Set(some.events.map(({ topic }) => topic)), new Set(['/images/create']));
  });

  test('what came with a credential, once its repository is private, is not shown; a refusal hides the rest', async () => {
    const bytes = randomBytes(3000);
    const first = await push(turned, 'models/turned', bytes);
    const sibling = await push(turned, 'models/sibling', randomBytes(3000));
    await pull(first.reference);
    await pull(sibling.reference);
    await Promise.all([first, sibling].map(untilShown));
    turned.guard(basic);
    const second = await turned.push('models/turned', 'v2', [
      { name: 'model.bin', bytes: randomBytes(4000) },
    ]);
    await pull(second.reference, secrets);
    const later = await push(open, 'models/later', randomBytes(2000));
    await pull(later.reference);
    await untilShown(later); // so that v2 is durable
    const digests = [second.digest, second.layers[0]?.digest ?? ''];
    assert.ok(!(await client.list()).includes(second.reference));
    const contents = await client.contents();
    for (const digest of digests) {
      assert.ok(!contents.includes(digest), digest);
      await assert.rejects(client.content.Info({ digest }), { code: status.NOT_FOUND });
    }
    assert.ok((await client.list()).includes(first.reference), 'the registry has not refused it');
    await restart();
    assert.ok(!(await client.list()).includes(second.reference));
    assert.ok((await client.list()).includes(first.reference));

    const again = await publishRequest(node, { reference: first.reference, pullPolicy: 'Always' });
    await assert.rejects(daemon.csi.NodePublishVolume(again));
    assert.ok(!(await client.list()).includes(first.reference));
    await assert.rejects(client.read(first.layer), { code: status.NOT_FOUND });
    assert.ok((await client.list()).includes(sibling.reference), 'another repository');
    await restart();
    assert.ok(!(await client.list()).includes(first.reference));
    for (const { reference } of [first, second, later, sibling]) await daemon.artifacts.Remove({ reference });
  });

  test('subscribers are few, and one that ends makes room', async () => {
    /** Subscribes; answers whether it is refused. */
    const subscribe = async (subscribed: DisposableStack): Promise<boolean> => {
      const { ended } = subscribed.use(client.subscribe());
      const code = await Promise.race([ended.then(error => error.code), client.list().then(() => undefined)]);
      assert.ok(code === undefined || code === status.RESOURCE_EXHAUSTED, `${code}`);
      return code !== undefined;
    };
    using many = new DisposableStack();
    let open = 0;
    // Those of earlier tests may still be ending.
    await waitUntil(daemon, async () => ((await subscribe(many)) ? true : ++open < 0), 'a refusal');
    assert.ok(open <= 17, `${open}`);
    many.dispose();
    using later = new DisposableStack();
    await waitUntil(daemon, async () => !(await subscribe(later)), 'room for a subscriber');
  });

  test('bytes that are no calls end their connection, and nothing else', async () => {
    for (let nth = 0; nth < 50; nth++) {
      const peer = connect(socket);
      peer.on('error', () => {});
      const preface = nth % 2 === 0 ? 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' : '';
      peer.write(Buffer.concat([Buffer.from(preface), randomBytes(1 + ((nth * 37) % 4000))]));
      peer.end();
      await new Promise(resolve => peer.once('close', resolve).resume());
    }
    assert.deepEqual(await client.list(), [shown.reference]);
    assert.ok(daemon.alive());
  });

  test('private artifacts are shown where a glob of --share lists them, and public ones only with public', async () => {
    await restart({ '--share': `${closed.host}/models/**` });
    assert.deepEqual((await client.list()).toSorted(), [hidden.reference, `${closed.host}/models/untold:v1`]);
    assert.ok((await client.contents()).includes(hidden.layer));
    assert.ok(!(await client.contents()).includes(shown.layer));
    await restart({ '--share': `public,${closed.host}/models/closed` });
    assert.deepEqual((await client.list()).toSorted(), [shown.reference, hidden.reference].toSorted());
    assert.equal((await client.read(hidden.layer)).length, 1000);
  });

  test('what the signature policy refuses is not shown', async () => {
    const policy = join(node.path, 'policy.json');
    const accept = { default: [{ type: 'insecureAcceptAnything' }] };
    await writeFile(
      policy,
      JSON.stringify({ ...accept, transports: { docker: { [open.host]: [{ type: 'reject' }] } } }),
    );
    await restart({ '--policy': policy });
    assert.deepEqual([await client.list(), await client.contents()], [[], []]);
    await assert.rejects(client.content.Info({ digest: shown.layer }), { code: status.NOT_FOUND });
    await writeFile(policy, JSON.stringify(accept));
    await untilShown(shown);
  });

  test('a blob that was changed on the disk is not shown', async () => {
    await restart();
    const path = join(node.stateDir, 'blobs', 'sha256', shown.layer.slice('sha256:'.length));
    if (!existsSync(path)) return assert.fail(path);
    try {
      writeFileSync(path, Buffer.alloc(weights.length));
    } catch {
      return; // sealed by fs-verity: it cannot be changed
    }
    await assert.rejects(client.content.Info({ digest: shown.layer }), { code: status.NOT_FOUND });
    await assert.rejects(client.read(shown.layer), { code: status.NOT_FOUND });
    await pull(shown.reference);
    await waitUntil(daemon, async () => (await client.contents()).includes(shown.layer), 'pulled again');
    assert.deepEqual(await client.read(shown.layer), weights);
  });

  test('a daemon takes over the socket of one that was killed', async () => {
    await daemon.end('SIGKILL');
    assert.ok(existsSync(socket));
    await restart();
    assert.deepEqual(await client.list(), [shown.reference]);
    assert.equal(await daemon.end('SIGTERM'), 0);
    assert.equal(existsSync(socket), false);
  });
});

test('the socket of another server is left to it, and volumes are served all the same', async () => {
  await using node = await testNode();
  const socket = join(node.path, 'containerd', 'containerd.sock');
  await mkdir(join(node.path, 'containerd'));
  const other = createServer().listen(socket);
  await new Promise(resolve => other.once('listening', resolve));
  await using daemon = await startDaemon(node, { flags: { '--containerd-socket': socket } });
  await waitUntil(daemon, async () => daemon.output().includes('the cache is not shared'), 'the problem');
  const page = await (await fetch(`${daemon.http}/readyz`)).text();
  assert.match(page, /the cache is not shared: another server answers on .*containerd\.sock/);
  assert.ok(other.listening && statSync(socket).isSocket());
  await new Promise(resolve => other.close(resolve));
});
