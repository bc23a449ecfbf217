import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { type KubeletDirectory, kubeletDirectory } from '../../test/support/node/kubelet-directory.ts';
import { mountsBelow } from '../../test/support/os/mounts.ts';
import { type MountNamespace, openNamespace } from '../../test/support/os/namespace.ts';
import { needs } from '../../test/support/project/tools.ts';

/**
 * A host whose kubelet directory is a shared mount, and in it the namespace of a daemon's container, which shares that
 * directory with the host (mountPropagation Bidirectional). This process sees none of it.
 */
type Node = AsyncDisposable & {
  readonly directory: KubeletDirectory;
  readonly host: MountNamespace;
  readonly container: MountNamespace;
};

async function openNode(): Promise<Node> {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await kubeletDirectory());
  const host = stack.use(await openNamespace('private'));
  host.run('mount', '--bind', directory.kubeletDir, directory.kubeletDir);
  host.run('mount', '--make-shared', directory.kubeletDir);
  const container = stack.use(await openNamespace('shared', host));
  const owned = stack.move();
  return { directory, host, container, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** The start of a script, with the mounter and the directories of the node. */
function prologue({ view, target, kubeletDir }: KubeletDirectory): string {
  return `
    import { openMounter } from ${JSON.stringify(new URL('./mounter.ts', import.meta.url).href)};
    const { view, target, kubeletDir } = ${JSON.stringify({ view, target, kubeletDir })};
    using mounter = openMounter({ kubeletDir });
  `;
}

/** The usual method: mount(2), and then a remount. */
const naive = ({ view, target: { path } }: KubeletDirectory): string =>
  `mkdir ${path} && mount --bind ${view} ${path} && mount -o remount,bind,ro,nosuid,nodev ${path}`;

/** The mount options at a path in a namespace; undefined if nothing is mounted there. */
function optionsAt(path: string, { run }: MountNamespace): readonly string[] | undefined {
  const lines = run('cat', '/proc/self/mountinfo')
    .split('\n')
    .map(line => line.split(' '));
  return lines.findLast(fields => fields[4] === path)?.[5]?.split(',');
}

function canWrite(path: string, { run }: MountNamespace): boolean {
  try {
    run('sh', '-c', `echo altered > ${path}`);
    return true;
  } catch (error) {
    assert.match(String(error), /Read-only file system/);
    return false;
  }
}

test(
  "a mount made in the daemon's container is on the host, read-only, nosuid and nodev; so is its unmount",
  needs('root'),
  async () => {
    await using node = await openNode();
    const { directory, host, container } = node;
    const { path } = directory.target;
    container.script(`${prologue(directory)} await mounter.mount(view, target, []);`);
    assert.deepEqual(mountsBelow(directory.path), [], 'this namespace has no part in it');
    for (const side of [container, host]) {
      assert.deepEqual(optionsAt(path, side)?.slice(0, 3), ['ro', 'nosuid', 'nodev']);
      assert.equal(side.run('cat', `${path}/model.txt`), 'weights');
      assert.equal(canWrite(`${path}/model.txt`, side), false);
    }
    container.script(`${prologue(directory)} await mounter.unmount(target);`);
    for (const side of [container, host]) {
      assert.equal(optionsAt(path, side), undefined);
      assert.throws(() => side.run('ls', '-d', path), /No such file/);
    }
    assert.equal(readFileSync(join(directory.view, 'model.txt'), 'utf8'), 'weights');
  },
);

test(
  'a bind mount that is remounted read-only, the usual way, stays writable on the host',
  needs('root'),
  async () => {
    await using node = await openNode();
    const { directory, host, container } = node;
    const { path } = directory.target;
    container.run('sh', '-c', naive(directory));
    assert.equal(optionsAt(path, container)?.[0], 'ro');
    assert.equal(optionsAt(path, host)?.[0], 'rw');
    assert.equal(canWrite(`${path}/model.txt`, host), true);
    assert.equal(readFileSync(join(directory.view, 'model.txt'), 'utf8'), 'altered\n');
  },
);

test('mounts outlive the container, and the next one finds and removes them', needs('root'), async () => {
  await using node = await openNode();
  const { directory, host, container } = node;
  container.script(`${prologue(directory)} await mounter.mount(view, target, []);`);
  await container[Symbol.asyncDispose]();
  assert.equal(optionsAt(directory.target.path, host)?.[0], 'ro');
  await using next = await openNamespace('shared', host);
  const seen = next.script(`${prologue(directory)}
    console.log(JSON.stringify([await mounter.state(target, view), await mounter.list(${JSON.stringify(directory.views)})]));
    await mounter.unmount(target);`);
  assert.deepEqual(JSON.parse(seen), [
    { kind: 'mounted', shows: 'view', readOnly: true },
    [{ target: directory.target.path, source: directory.view, dead: false }],
  ]);
  assert.equal(optionsAt(directory.target.path, host), undefined);
});

test('later mounts in the state directory do not appear in a volume', needs('root'), async () => {
  await using node = await openNode();
  const { directory, host, container } = node;
  const state = dirname(directory.views);
  mkdirSync(join(directory.view, 'inner'));
  host.run('mount', '--bind', state, state);
  host.run('mount', '--make-shared', state);
  await using sharing = await openNamespace('shared', host);
  sharing.script(`${prologue(directory)} await mounter.mount(view, target, []);`);
  host.run('mount', '-t', 'tmpfs', 'tmpfs', join(directory.view, 'inner'));
  for (const side of [host, container, sharing]) {
    assert.equal(optionsAt(join(directory.target.path, 'inner'), side), undefined);
  }
  assert.equal(optionsAt(directory.target.path, host)?.[0], 'ro');
});

/**
 * Tries to write into the volume without a pause until its standard input ends; reports how often it succeeded and was
 * refused.
 */
const writer = (path: string): string => `
  const fs = await import('node:fs');
  let [wrote, refused, open] = [0, 0, true];
  process.stdin.on('end', () => { open = false; }).resume();
  console.log('started');
  while (open) {
    for (let n = 0; n < 2000; n++) {
      try {
        fs.closeSync(fs.openSync(${JSON.stringify(path)}, 'r+'));
        wrote++;
      } catch (error) {
        if (error.code === 'EROFS') refused++;
      }
    }
    await new Promise(setImmediate);
  }
  console.log(JSON.stringify({ wrote, refused }));`;

/** The counts of a writer on one side while mounts came and went in the container. */
async function watch(
  side: MountNamespace,
  path: string,
  act: () => void,
): Promise<{ wrote: number; refused: number }> {
  const args = [
    '--target',
    String(side.pid),
    '--mount',
    process.execPath,
    '--input-type=module',
    '-e',
    writer(path),
  ];
  const child = spawn('nsenter', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    await once(child.stdout, 'data');
    act();
    child.stdin.end();
    const [counts] = (await once(child.stdout, 'data')) as [Buffer];
    return JSON.parse(counts.toString()) as { wrote: number; refused: number };
  } finally {
    child.kill('SIGKILL');
  }
}

for (const where of ['container', 'host'] as const) {
  test(`a volume is never writable, seen from the ${where}`, needs('root'), async t => {
    await using node = await openNode();
    const { directory, container } = node;
    const file = join(directory.target.path, 'model.txt');
    const counts = await watch(node[where], file, () => {
      container.script(`${prologue(directory)}
        const never = new Int32Array(new SharedArrayBuffer(4));
        const end = performance.now() + 700;
        while (performance.now() < end) {
          await mounter.mount(view, target, []);
          Atomics.wait(never, 0, 0, 0.5);
          await mounter.unmount(target);
        }`);
    });
    t.diagnostic(`${counts.refused} tries to write were refused, ${counts.wrote} were not`);
    assert.equal(counts.wrote, 0);
    assert.ok(counts.refused > 0, 'the writer met the volume');

    const usual = await watch(node[where], file, () => {
      container.run(
        'sh',
        '-c',
        `mkdir ${directory.target.path} && mount --bind ${directory.view} ${directory.target.path} && sleep 0.1`,
      );
    });
    assert.ok(usual.wrote > 0, 'the writer sees the moment before a remount');
  });
}
