import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openStore } from '../../src/store/store.ts';
import { openNode } from '../../src/wiring.ts';
import { configurationOf } from '../support/node/command.ts';
import { spawnDaemon, type TestNode, testNode } from '../support/node/daemon.ts';
import { type Ran, runShell } from '../support/node/shell.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs } from '../support/project/tools.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

const reference = 'registry.example/team/model:v1';
const unmeasured = { bytesPulled() {}, damageFound() {}, pullEnded() {} };

/** Every command that works on a state directory; R stands for a reference, D for a directory of the test. */
const reading = ['ls', 'volumes', 'inspect R', 'fsck'];
const asking = ['resolve R', 'inspect --credentials R'];
const changing = ['rm R', 'prune --yes', 'pin R', 'unpin R', 'unmount D/target', 'fsck --repair'];
const beginning = ['pull R', 'load D/layout R', 'mount R D/target'];
const all = [...reading, ...asking, ...changing, ...beginning];

/** Runs a command line on the state directory itself, in this process. */
function run(
  node: Pick<TestNode, 'path' | 'kubeletDir' | 'registriesConf' | 'registriesConfDir'>,
  line: string,
  stateDir: string,
  named = reference,
  environment: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const words = line.split(' ').map(word => (word === 'R' ? named : word.replace(/^D\//, `${node.path}/`)));
  return runShell([...words, '--state-dir', stateDir], {
    environment: { ...configurationOf(node), ...environment },
    builder: { open: (settings, log, direct) => openNode(settings, log, unmeasured, direct) },
  });
}

/** All that a directory holds, to the nanosecond of its last change. */
function snapshot(path: string): readonly string[] {
  const { mode, ino, size, mtimeNs, ctimeNs } = lstatSync(path, { bigint: true });
  return [
    [path, mode, ino, size, mtimeNs, ctimeNs].join(' '),
    ...(lstatSync(path).isDirectory() ? readdirSync(path).flatMap(name => snapshot(join(path, name))) : []),
  ];
}

test('every command that needs a state directory refuses a foreign one, and changes nothing in it', async () => {
  await using node = await testNode([]);
  const foreign = join(node.path, 'foreign');
  mkdirSync(join(foreign, 'tmp'), { recursive: true, mode: 0o755 });
  writeFileSync(join(foreign, 'tmp/work'), 'of a user');
  mkdirSync(join(node.path, 'layout'));
  const before = snapshot(foreign);
  for (const line of [...reading, ...changing, ...beginning]) {
    const ran = await run(node, line, foreign);
    assert.equal(ran.code, 2, `${line}: ${ran.stderr}`);
    assert.match(ran.stderr, /foreign is not a state directory: it holds "tmp" and no file "format"/, line);
    assert.deepEqual(snapshot(foreign), before, line);
  }
  await using daemon = await spawnDaemon({ ...node, stateDir: foreign });
  while (daemon.alive()) await sleep(20);
  assert.equal(await daemon.end('SIGKILL'), 2, daemon.output());
  assert.match(daemon.output(), /foreign is not a state directory/);
  assert.deepEqual(snapshot(foreign), before);
});

test('status without a daemon does not judge the disk by marks that only a daemon has', async () => {
  await using node = await testNode([]);
  {
    await using _store = await openStore({ stateDir: node.stateDir });
  }
  const marks = { OCI_ARTIFACT_CACHE_HIGH: '1', OCI_ARTIFACT_CACHE_LOW: '1' };
  const ran = await run(node, 'status -o json', node.stateDir, reference, marks);
  assert.equal(ran.code, 0, ran.stderr);
  assert.deepEqual((ran.json as { problems: readonly string[] }).problems, []);
});

test('a command that only asks works beside a state directory that it cannot use, and says so', async () => {
  await using registry = await openFaultyRegistry();
  await using node = await testNode([registry.host]);
  const pushed = await registry.push('team/model', 'v1', [{ name: 'weights', bytes: Buffer.alloc(9) }]);
  const [foreign, inUse] = [join(node.path, 'foreign'), join(node.path, 'used')];
  mkdirSync(foreign);
  writeFileSync(join(foreign, 'file'), 'of a user');
  await using _store = await openStore({ stateDir: inUse });
  for (const [directory, why] of [
    [foreign, 'foreign is not a state directory'],
    [inUse, 'used is in use by process'],
  ] as const) {
    const before = snapshot(directory);
    for (const line of asking) {
      const ran = await run(node, line, directory, pushed.reference);
      assert.equal(ran.code, 0, `${line}: ${ran.stderr}`);
      const [command = ''] = line.split(' ');
      assert.match(
        ran.stderr,
        new RegExp(`${why}.*; ${command} works without it, so nothing counts as cached\n`),
      );
      assert.deepEqual(snapshot(directory), before, line);
    }
  }
});

test(
  'a command that only reads changes nothing in a state directory, even after a crash',
  needs('root'),
  async () => {
    await using registry = await openFaultyRegistry();
    await using node = await testNode([registry.host]);
    const pushed = await registry.push('team/model', 'v1', [
      { name: 'weights', bytes: Buffer.alloc(9000, 7) },
    ]);
    const state = node.stateDir;
    assert.equal((await run(node, 'pull R', state, pushed.reference)).code, 0);
    const target = join(node.path, 'target');
    assert.equal((await run(node, 'mount R D/target', state, pushed.reference)).code, 0);

    writeFileSync(join(state, 'tmp/half'), 'half-made');
    writeFileSync(join(state, 'volumes', 'f'.repeat(64)), '{ torn');
    writeFileSync(join(state, 'views/without-view.json'), '{}');
    const [blob = ''] = readdirSync(join(state, 'blobs/sha256'));
    writeFileSync(join(state, 'blobs/sha256', blob), 'damaged');
    rmSync(join(state, 'salt'));
    const before = snapshot(state);
    for (const line of [...reading, ...asking]) {
      const ran = await run(node, line, state, pushed.reference);
      const expected = line === 'fsck' ? 7 : 0;
      if (line !== 'inspect R') assert.equal(ran.code, expected, `${line}: ${ran.stderr}`);
      assert.deepEqual(snapshot(state), before, line);
    }
    assert.match((await run(node, 'volumes', state)).stdout, /target/);
    assert.equal((await run(node, 'unmount D/target', state)).code, 0);
    assert.throws(() => lstatSync(target), { code: 'ENOENT' });
  },
);

test(
  'a command that only reads creates nothing in an empty or missing directory',
  needs('root'),
  async () => {
    await using registry = await openFaultyRegistry();
    await using node = await testNode([registry.host]);
    const pushed = await registry.push('team/model', 'v1', [{ name: 'weights', bytes: Buffer.alloc(9) }]);
    const empty = join(node.path, 'empty');
    mkdirSync(empty, { mode: 0o755 });
    const before = snapshot(empty);
    for (const line of [...reading, ...asking]) {
      await run(node, line, empty, pushed.reference);
      assert.deepEqual(snapshot(empty), before, line);
    }
    assert.equal((await run(node, 'ls', empty)).stdout.split('\n').length, 2, 'a header and nothing more');
    for (const line of all.filter(command => !beginning.includes(command))) {
      const ran = await run(node, line, join(node.path, 'none'), pushed.reference);
      assert.equal(ran.code, asking.includes(line) ? 0 : 2, `${line}: ${ran.stderr}`);
      assert.throws(() => lstatSync(join(node.path, 'none')), { code: 'ENOENT' });
    }
  },
);

test('an invalid reference is refused before anything is opened or created', async () => {
  await using node = await testNode([]);
  const none = join(node.path, 'none');
  for (const line of all.filter(command => command.includes('R'))) {
    for (const wrong of ['UPPER/case:1', 'a/b:', 'a//b', 'x@sha256:12']) {
      const ran = await run(node, line, none, wrong);
      assert.equal(ran.code, 2, `${line} ${wrong}: ${ran.stderr}`);
      assert.ok(ran.stderr.includes(wrong), ran.stderr);
      assert.deepEqual([lstatOf(none), lstatOf(join(node.path, 'target'))], [undefined, undefined], line);
    }
  }
});

test('an invalid selection is refused before anything is opened or created', async () => {
  await using node = await testNode([]);
  const none = join(node.path, 'none');
  for (const flag of ['--include [', '--exclude a,,b', '--sub-path ../x', '--platform amd64']) {
    for (const line of ['pull R', 'mount R D/target']) {
      const ran = await run(node, `${line} ${flag}`, none);
      assert.equal(ran.code, 2, `${line} ${flag}: ${ran.stderr}`);
      assert.match(ran.stderr, new RegExp(`^oci-artifact-csi: ${flag.split(' ')[0]}: invalid value ".*\n$`));
      assert.equal(lstatOf(none), undefined);
    }
  }
});

test('a new disk becomes a state directory', async () => {
  await using directory = await temporaryDirectory();
  await using node = await testNode([]);
  mkdirSync(join(directory.path, 'lost+found'), { mode: 0o700 });
  const ran = await run(node, 'prune --yes', directory.path);
  assert.equal(ran.code, 0, ran.stderr);
  assert.equal(readFileSync(join(directory.path, 'format'), 'utf8'), '1\n');
  assert.equal(lstatSync(directory.path).mode & 0o7777, 0o700);
});

function lstatOf(path: string): object | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}
