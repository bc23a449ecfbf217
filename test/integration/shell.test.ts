import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Freed, VolumeStatus } from '../../src/ports/usecases.ts';
import {
  type CommandRun,
  usesStateDir as onDirectory,
  runCommand as run,
  runCommandHere,
  startCommand as start,
} from '../support/node/command.ts';
import { startDaemon, testNode } from '../support/node/daemon.ts';
import { mountsBelow } from '../support/os/mounts.ts';
import { needs } from '../support/project/tools.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

for (const through of ['the socket of a daemon', 'the state directory itself']) {
  test(`every command works through ${through}`, needs('root'), async () => {
    await using registry = await openFaultyRegistry();
    await using node = await testNode([registry.host]);
    const { digest, reference } = await registry.push('team/model', 'v1', [
      { name: 'config.json', bytes: Buffer.from('{"a": 1}\n') },
      { name: 'weights/w.bin', bytes: Buffer.alloc(3_000_000, 7) },
    ]);
    await using stack = new AsyncDisposableStack();
    if (through.includes('daemon')) stack.use(await startDaemon(node));

    // In this process: that the program does the same is seen where signals and exit codes are.
    const run = (argv: readonly string[]): Promise<CommandRun> => runCommandHere(node, argv);
    const json = async (...argv: readonly string[]): Promise<unknown> => {
      const ran = await run([...argv, '--output', 'json']);
      assert.deepEqual([ran.stderr, ran.code], ['', 0], argv.join(' '));
      return JSON.parse(ran.stdout) as unknown;
    };

    assert.partialDeepStrictEqual(await json('resolve', 'team/model:v1'), {
      reference,
      descriptor: { digest },
      cached: false,
    });
    const pull = await run(['pull', 'team/model:v1', '--output=json']);
    assert.equal(pull.code, 0, pull.stderr);
    assert.partialDeepStrictEqual(JSON.parse(pull.stdout), { reference, digest, manifest: digest });
    assert.partialDeepStrictEqual(await json('ls'), [{ reference, digest, pinned: false, volumes: 0 }]);

    const target = join(node.path, 'shown');
    assert.partialDeepStrictEqual(await json('mount', 'team/model:v1', target, '--exclude', '*.bin'), {
      targetPath: target,
      anywhere: true,
      reference: 'team/model:v1',
      resolved: reference,
      digest,
    });
    assert.equal(await readFile(join(target, 'config.json'), 'utf8'), '{"a": 1}\n');
    await assert.rejects(readFile(join(target, 'weights/w.bin')), { code: 'ENOENT' });
    await assert.rejects(writeFile(join(target, 'config.json'), ''), { code: 'EROFS' });
    const volumes = (await json('volumes')) as VolumeStatus[];
    assert.deepEqual(
      volumes.map(({ targetPath, mounted }) => [targetPath, mounted]),
      [[target, true]],
    );
    const other = await run(['mount', 'team/model:v1', target]);
    assert.equal(other.code, 10, 'another request for the same directory');
    const held = await run(['rm', 'team/model:v1']);
    assert.equal(held.code, 5, 'a volume holds it');
    assert.match(held.stderr, /v1 is published at (\S+); `unmount \1` first\n$/);
    assert.deepEqual(await json('unmount', target), { targetPath: target });
    assert.deepEqual(mountsBelow(node.path), []);
    assert.equal((await run(['unmount', target])).code, 3);
    await assert.rejects(stat(target), { code: 'ENOENT' });
    await mkdir(target);
    await json('mount', 'team/model:v1', target);
    await json('unmount', target);
    assert.deepEqual(await readdir(target), [], 'a directory that was there stays');

    assert.deepEqual(await json('pin', 'team/model:v1'), { reference: 'team/model:v1', digest });
    assert.partialDeepStrictEqual(await json('inspect', 'team/model:v1'), {
      digest,
      kind: 'artifact',
      pinned: true,
      layers: [
        { name: 'config.json', held: true },
        { name: 'weights/w.bin', size: 3_000_000 },
      ],
    });
    const short = digest.slice(0, 'sha256:'.length + 12);
    assert.partialDeepStrictEqual(await json('inspect', short), { digest });
    assert.equal((await run(['inspect', 'sha256:0123456789ab'])).code, 3);
    assert.equal((await run(['rm', short])).code, 5, 'a pin holds it');
    await json('unpin', short);
    assert.match((await run(['fsck'])).stdout, /^\d+ objects checked, 0 damaged\n$/);
    const freed = (await json('rm', 'team/model:v1')) as Freed;
    assert.ok(freed.bytes > 3_000_000);
    assert.deepEqual(await json('ls'), []);
    const gone = await run(['inspect', 'team/model:v1']);
    assert.equal(gone.code, 3);
    const first = through.includes('daemon') ? '' : onDirectory(node);
    assert.ok(gone.stderr.startsWith(first));
    assert.match(gone.stderr.slice(first.length), /^oci-artifact-csi: [^\n]+\n$/);
    const absent = await run(['pull', 'team/model:v2']);
    assert.equal(absent.code, 3, absent.stderr);
  });
}

test('a command waits a limited time for a silent daemon', needs('root'), async () => {
  await using node = await testNode();
  await using daemon = await startDaemon(node);
  process.kill(daemon.pid, 'SIGSTOP');
  const started = performance.now();
  const ran = await Promise.all([run(node, ['ls']), run(node, ['pull', 'm:v1'])]);
  assert.ok(performance.now() - started < 15_000);
  for (const { code, stderr } of ran) {
    assert.equal(code, 8);
    assert.match(stderr, /^oci-artifact-csi: the daemon at unix:\S+\/csi\.sock does not answer; [^\n]+\n$/);
  }
});

test('fsck finds a changed byte, exits 7, and repairs it by a new pull', needs('root'), async () => {
  await using registry = await openFaultyRegistry();
  await using node = await testNode([registry.host]);
  const { layers } = await registry.push('m', 'v1', [{ name: 'a', bytes: Buffer.from('abc') }]);
  assert.equal((await run(node, ['pull', 'm:v1'])).code, 0);
  const [algorithm = '', hex = ''] = layers[0]?.digest.split(':') ?? [];
  await writeFile(join(node.stateDir, 'blobs', algorithm, hex), 'abd');
  const found = await run(node, ['fsck']);
  assert.equal(found.code, 7, found.stderr);
  assert.ok(found.stdout.includes(hex));
  assert.equal((await run(node, ['fsck', '--repair'])).code, 0);
  assert.equal((await run(node, ['fsck'])).code, 0);
  assert.equal((await run(node, ['pull', 'm:v1'])).code, 0);
  const pulled = await run(node, ['fsck', '--output', 'json']);
  assert.partialDeepStrictEqual(JSON.parse(pulled.stdout), { wrong: 0, findings: [] });
});

test(
  'a layout directory is loaded without a registry, and found by the given name',
  needs('root'),
  async () => {
    await using registry = await openFaultyRegistry();
    await using node = await testNode();
    const { manifest, layers } = await registry.push('m', 'v1', [{ name: 'a', bytes: Buffer.from('abc') }]);
    const layout = join(node.path, 'layout');
    await mkdir(join(layout, 'blobs/sha256'), { recursive: true });
    const blobs = [manifest, ...layers].map(({ digest }) => digest);
    for (const digest of [
      ...blobs,
      'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
    ]) {
      const kind = digest === manifest.digest ? 'manifests' : 'blobs';
      const body = await (await fetch(`http://${registry.host}/v2/m/${kind}/${digest}`)).bytes();
      await writeFile(join(layout, 'blobs/sha256', digest.slice(7)), body);
    }
    await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    await writeFile(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }));
    const loaded = await runCommandHere(node, ['load', layout, 'offline.example/m:v1']);
    assert.equal(loaded.stdout, `offline.example/m:v1@${manifest.digest}\n`, loaded.stderr);
    assert.match(
      loaded.stderr.replace(onDirectory(node), ''),
      /^read \d+ % \([\d.]+ .?i?B of ([\d.]+ KiB)\)\n(?:.*\n)*unpack 100 % \(\1 of \1\)\n$/,
    );
    const tar = join(node.path, 'layout.tar');
    execFileSync('tar', ['-cf', tar, '-C', layout, '.']);
    for (const [source, progress] of [
      [tar, /\nread 0 % [^]*unpack 100 % /],
      [layout, /^$/],
    ] as const) {
      const json = source === layout ? ['--output', 'json'] : [];
      const again = await runCommandHere(node, ['load', source, 'offline.example/m:v1', ...json]);
      assert.equal(again.code, 0, again.stderr);
      assert.match(again.stderr, progress);
    }
    const target = join(node.path, 'shown');
    const mounted = await runCommandHere(node, [
      'mount',
      'offline.example/m:v1',
      target,
      '--pull-policy',
      'Never',
    ]);
    assert.equal(mounted.code, 0, mounted.stderr);
    assert.equal(await readFile(join(target, 'a'), 'utf8'), 'abc');
    assert.equal((await runCommandHere(node, ['unmount', target])).code, 0);
  },
);

test(
  'a mount shows the progress of its pull, and needs no registry if it is mounted already',
  needs('root'),
  async () => {
    await using node = await testNode(['127.0.0.1:1']);
    const target = join(node.path, 'shown');
    {
      await using registry = await openFaultyRegistry();
      await writeFile(node.registriesConf, `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\n`);
      const { reference } = await registry.push('m', 'latest', [{ name: 'a', bytes: Buffer.alloc(200_000) }]);
      const mounted = await runCommandHere(node, ['mount', reference, target]);
      assert.equal(mounted.code, 0, mounted.stderr);
      assert.match(
        mounted.stderr.replace(onDirectory(node), ''),
        /^download 0 % \(0 B of 195 KiB, 0 of 1 layers\)\n(?:.*\n)*build 100 % /,
      );
      await registry[Symbol.asyncDispose]();
      const again = await runCommandHere(node, ['mount', reference, target]);
      assert.equal(again.code, 0, again.stderr);
      assert.equal(again.stderr, onDirectory(node));
    }
    assert.equal((await runCommandHere(node, ['unmount', target])).code, 0);
  },
);

test('a pull that Ctrl-C ended continues where it stopped', needs('root'), async () => {
  await using registry = await openFaultyRegistry();
  await using node = await testNode([registry.host]);
  const bytes = Buffer.alloc(8 << 20, 5);
  const { layers } = await registry.push('m', 'v1', [{ name: 'big', bytes }]);
  const digest = layers[0]?.digest ?? '';
  registry.fault(({ method, path }) =>
    method === 'GET' && path.endsWith(digest) ? { kind: 'stall', after: 5 << 20 } : undefined,
  );
  const child = start(node, ['pull', `${registry.host}/m:v1`]);
  let stderr = '';
  for await (const chunk of child.stderr) {
    stderr += String(chunk);
    if (!child.killed && stderr.includes('download 6')) child.kill('SIGINT'); // a second one kills
  }
  if (child.exitCode === null) await once(child, 'exit');
  assert.equal(child.exitCode, 130, stderr);
  assert.match(stderr, /interrupted; .* is kept, and the same command continues from there\n$/);
  registry.fault(() => undefined);
  assert.equal((await run(node, ['pull', `${registry.host}/m:v1`])).code, 0);
  const ranges = registry.asked
    .filter(({ path }) => path.endsWith(digest))
    .map(({ headers }) => headers.range);
  assert.equal(ranges.length, 2);
  assert.match(ranges[1] ?? '', /^bytes=\d{6,}-/);
});
