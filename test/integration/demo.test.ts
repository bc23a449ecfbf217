import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { main } from '../support/node/main.ts';
import { unmountBelow } from '../support/os/mounts.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { mountTmpfs } from '../support/os/tmpfs.ts';
import { needs } from '../support/project/tools.ts';

/** Short: images cannot be mounted below a long path. */
const demoDirectory = () => temporaryDirectory('demo-');

/** The demo with a temporary directory of its own to leave nothing in. */
function startDemo(directory: string, ...options: readonly string[]): ChildProcess {
  return spawn(process.execPath, [main, 'demo', ...options], {
    env: { PATH: process.env['PATH'], TMPDIR: directory },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function assertNothingLeft(directory: string): void {
  assert.deepEqual(readdirSync(directory), []);
  assert.ok(!readFileSync('/proc/self/mountinfo', 'utf8').includes(directory));
  const processes = readdirSync('/proc').filter(
    name => /^\d+$/.test(name) && commandOf(name).includes(directory),
  );
  assert.deepEqual(processes, []);
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return ''; // it has ended
  }
}

test(
  'the demo shows the whole life of a volume in under 30 s, and leaves nothing behind',
  needs('root'),
  async () => {
    await using directory = await demoDirectory();
    const started = performance.now();
    const child = startDemo(directory.path);
    assert.ok(child.stdout !== null && child.stderr !== null);
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
    assert.equal(stderr, '');
    assert.equal(child.exitCode, 0, stdout);
    assert.ok(performance.now() - started < 30_000);
    for (const part of [
      'A registry on 127.0.0.1:',
      'NodePublishVolume of tiny-model:1.0 for pod web-0',
      '├── config.json',
      '│   ├── latest.txt                    -> prompt.txt',
      '  "architectures": [',
      'fails: EROFS',
      'for pod web-1, from the cache: 0 requests to the registry',
      'NodeGetVolumeStats: 64.0 MiB',
      'exit code 0',
      'No mount, no process and no file is left.',
    ]) {
      assert.ok(stdout.includes(part), `${part}\n${stdout}`);
    }
    assertNothingLeft(directory.path);
  },
);

test(
  'the demo of loading on demand shows a read that comes first, a killed daemon and its successor, and leaves nothing behind',
  needs('root'),
  async () => {
    await using directory = await demoDirectory();
    const child = startDemo(directory.path, '--on-demand');
    assert.ok(child.stdout !== null && child.stderr !== null);
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
    assert.equal(stderr, '');
    assert.equal(child.exitCode, 0, stdout);
    for (const part of [
      /NodePublishVolume with loading: onDemand: mounted after \d.* KiB of 2\.0 GiB/,
      /shard-8\.bin +256 MiB/,
      /A read of the end of shard-8\.bin comes first: it got the right bytes after \d/,
      /load \d+ % \(/,
      /The daemon is killed by SIGKILL/,
      /The mount stays: [1-7] of the 8 ends are right, and [1-7], not here yet, give EIO/,
      /The next daemon goes on/,
      /All of 2\.0 GiB is on the node/,
      /all 9 files have their digests/,
      /exit code 0/,
      /No mount, no process and no file is left\./,
    ])
      assert.match(stdout, part);
    const [, later = ''] = /the right bytes after ([\d.]+) MiB/.exec(stdout) ?? [];
    assert.ok(Number(later) < 128, 'chunks of 4 MiB, and not a shard of 256 MiB');
    assertNothingLeft(directory.path);
  },
);

test(
  'the demo of loading on demand says why a node cannot, and leaves nothing behind',
  needs('root'),
  async () => {
    await using directory = await demoDirectory();
    mountTmpfs(directory.path, 'size=64m,mode=0755');
    const child = startDemo(directory.path, '--on-demand');
    assert.ok(child.stdout !== null && child.stderr !== null);
    const [, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
    assert.match(
      stderr,
      /^oci-artifact-csi: this node cannot show it: loading on demand: off [^\n]*mounts EROFS from block devices only\); [^\n]+\n$/,
    );
    assert.equal(child.exitCode, 5);
    unmountBelow(directory.path);
    assertNothingLeft(directory.path);
  },
);

test('the demo in JSON prints one document, with its steps', needs('root'), async () => {
  await using directory = await demoDirectory();
  const child = startDemo(directory.path, '--output', 'json');
  assert.ok(child.stdout !== null && child.stderr !== null);
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  assert.equal(stderr, '');
  const told = JSON.parse(stdout) as readonly {
    readonly kind: string;
    readonly text: string;
    readonly step?: number;
    readonly milliseconds?: number;
  }[];
  assert.deepEqual(new Set(told.map(({ kind }) => kind)), new Set(['heading', 'step', 'text']));
  const steps = told.filter(({ kind }) => kind === 'step');
  assert.deepEqual(
    steps.map(({ step }) => step),
    steps.map((_, nth) => nth + 1),
  );
  assert.ok(steps.every(({ milliseconds = -1 }) => milliseconds >= 0 && Number.isInteger(milliseconds)));
  assert.ok(told.some(line => line.text.includes('├── config.json')));
  assert.match(told.at(-1)?.text ?? '', /^No mount, no process and no file is left/);
  assertNothingLeft(directory.path);
});

/** Every few milliseconds, as when Ctrl-C is held down. */
function repeat(work: () => void): Disposable {
  const timer = setInterval(work, 10);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

test(
  'an interrupted demo cleans up before it ends, at any moment and however often it is interrupted',
  needs('root'),
  async () => {
    for (const [after, ...options] of [
      ['A registry on'],
      ['The daemon serves'],
      ['NodePublishVolume'],
      ['The same for pod web-1'],
      ['shard-8.bin', '--on-demand'], // a read waits
      ['The daemon is killed', '--on-demand'],
    ] as const) {
      await using directory = await demoDirectory();
      const child = startDemo(directory.path, ...options);
      assert.ok(child.stdout !== null && child.stderr !== null);
      const stderr = text(child.stderr);
      let seen = '';
      using _again = repeat(() => seen.includes(after) && child.kill('SIGINT'));
      child.stdout.on('data', (chunk: Buffer) => {
        seen += chunk.toString();
      });
      await once(child, 'exit');
      // Node no longer listens to signals in its last moments.
      assert.ok(child.exitCode === 130 || child.signalCode === 'SIGINT', `${after}: ${await stderr}`);
      assert.match(await stderr, /^oci-artifact-csi: the demo was interrupted; [^\n]+\n$/);
      assertNothingLeft(directory.path);
    }
  },
);
