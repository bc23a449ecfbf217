import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:http2';
import { createServer as createSilentServer } from 'node:net';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { nodeStatus } from '../../test/support/node/samples.ts';
import { onDirectory, runShell } from '../../test/support/node/shell.ts';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import type { Artifacts } from '../ports/usecases.ts';
import { ArtifactError, type ErrorCode } from '../util/error.ts';
import { exitCodes } from './exit.ts';
import type { Settings } from './settings.ts';

/** The commands that a help text lists. */
function commandNames(help: string): readonly string[] {
  return [...help.matchAll(/^ {2}([a-z]+)(?= )/gm)].map(([, name = '']) => name);
}

test('serve is given its settings, and its exit code is the exit code', async () => {
  let seen: Settings | undefined;
  const serve = async (settings: Settings): Promise<number> => {
    seen = settings;
    return 42;
  };
  const ran = await runShell(['serve', '--register', '--cache-max', '1TiB', '--http-listen', ''], {
    environment: { OCI_ARTIFACT_DRIVER_NAME: 'driver.example', CSI_ENDPOINT: 'unix:///e.sock' },
    builder: { serve },
  });
  assert.equal(ran.code, 42);
  assert.equal(seen?.register, true);
  assert.equal(seen?.cacheMax, 2 ** 40);
  assert.equal(seen?.httpListen, undefined);
  assert.equal(seen?.driverName, 'driver.example');
  assert.equal(seen?.endpoint, '/e.sock');
});

test('each reason to fail has an exit code of its own', () => {
  const codes = Object.values(exitCodes);
  assert.equal(new Set(codes).size, codes.length);
  assert.ok(!codes.includes(0));
});

test('every error code ends the program with its exit code and one line that says what to do', async () => {
  for (const code of Object.keys(exitCodes) as ErrorCode[]) {
    const ran = await runShell(['ls'], {
      artifacts: {
        list: async () => {
          throw new ArtifactError(code, 'cannot\nlist; try \u001b[31mthis');
        },
      },
    });
    assert.equal(ran.code, exitCodes[code]);
    assert.equal(ran.stdout, '');
    assert.equal(ran.stderr, `${onDirectory}oci-artifact-csi: cannot\\u000alist; try \\u001b[31mthis\n`);
  }
});

test('with --output json an error is JSON on stderr', async () => {
  const inspect = async (): Promise<never> => {
    throw new ArtifactError('not-found', 'model:1 is not in the cache; pull it');
  };
  for (const output of [['--output', 'json'], ['--output=json']]) {
    const ran = await runShell(['inspect', ...output, 'model:1'], { artifacts: { inspect } });
    assert.equal(ran.code, 3);
    assert.deepEqual(JSON.parse(ran.stderr), {
      error: { code: 'not-found', message: 'model:1 is not in the cache; pull it' },
    });
  }
});

test('a wrong command line exits 2 with one line', async () => {
  for (const argv of [
    ['serve', '--bogus'],
    ['pul'],
    ['pull'],
    ['pull', 'a', 'b'],
    ['ls', '--output', 'xml'],
    ['serve', '--cache-high', 'a lot'],
    ['pull', 'a', '--platform', 'amd64'],
    ['pull', 'a', '--username', 'me'],
  ]) {
    const ran = await runShell(argv);
    assert.equal(ran.code, 2, argv.join(' '));
    assert.match(ran.stderr.replace(onDirectory, ''), /^oci-artifact-csi: [^\n]+[^.]\n$/, argv.join(' '));
    if (argv.includes('--output') || argv[0] === 'serve') continue;
    const { stderr } = await runShell([...argv, '--output', 'json']);
    assert.partialDeepStrictEqual(JSON.parse(stderr), { error: { code: 'invalid' } });
  }
});

test('a command takes the flags that its help shows, and no help is wider than 80 columns', async () => {
  for (const name of commandNames((await runShell(['--help'])).stdout)) {
    const { stdout } = await runShell([name, '--help']);
    assert.ok(
      stdout.split('\n').every(line => line.length <= 80),
      stdout,
    );
  }
  const { stdout: pull } = await runShell(['pull', '--help']);
  assert.match(pull, /^Without a daemon:\n(?: .*\n)*  --registries-conf <FILE>/m);
  assert.doesNotMatch(pull, /--prefetch|--on-demand|--scrub-interval/, 'what only the daemon does');
  assert.match((await runShell(['ls', '--help'])).stdout, /^Aliases: list, images$/m);
});

test('help names every exit code', async () => {
  const help = await runShell(['--help']);
  assert.equal(help.code, 0);
  for (const code of [0, ...Object.values(exitCodes)]) {
    assert.match(help.stdout, new RegExp(`^ +${code}  \\w`, 'm'));
  }
});

test('version names both sides, and why one of them is not known', async () => {
  const alone = await runShell(['version']);
  assert.match(
    alone.stdout,
    /^client: oci-artifact-csi \d+\.\d+\.\d+ \(node v26.*\)\ndaemon: none answers on unix:\/\/\/nowhere\/\S+ or unix:\/\/\/csi\/csi\.sock\n$/,
  );
  await using directory = await temporaryDirectory();
  const socket = join(directory.path, 'csi.sock');
  const server = createServer().listen(socket);
  await once(server, 'listening');
  try {
    const backend = { artifacts: { status: async () => nodeStatus }, publishing: {}, close: async () => {} };
    const around = {
      environment: { CSI_ENDPOINT: `unix://${socket}` },
      builder: { connect: async () => backend as never },
    };
    assert.match(
      (await runShell(['version'], around)).stdout,
      /^daemon: driver\.example 9\.8\.7 \(unix:\S+\)$/m,
    );
    const { json } = await runShell(['version', '-o', 'json'], around);
    assert.partialDeepStrictEqual(json, { client: { node: process.version }, daemon: { version: '9.8.7' } });
  } finally {
    server.close();
  }
});

test('help is a command, too', async () => {
  const help = await runShell(['help']);
  assert.deepEqual([help.code, help.stdout], [0, (await runShell(['--help'])).stdout]);
  assert.equal((await runShell(['help', 'pull'])).stdout, (await runShell(['pull', '--help'])).stdout);
  assert.equal((await runShell(['help', 'umount'])).stdout, (await runShell(['unmount', '--help'])).stdout);
});

test('a command that is not there is an error, whatever stands beside it', async () => {
  for (const argv of [['pul'], ['pul', '--help'], ['help', 'pul'], ['pul', 'model:1', '--no-such-flag']]) {
    const ran = await runShell(argv);
    assert.deepEqual([ran.code, ran.stdout], [2, ''], argv.join(' '));
    assert.equal(
      ran.stderr,
      'oci-artifact-csi: unknown command "pul" (did you mean pull?); see oci-artifact-csi --help\n',
    );
  }
  assert.match((await runShell(['help', 'frob'])).stderr, /unknown command "frob"; see/);
});

test('an error of a command line names the help of its command, and the flag whose value is wrong', async () => {
  for (const [argv, message] of [
    [['pull', 'a', 'b'], /: unexpected argument "b"; see oci-artifact-csi pull --help$/m],
    [['umount'], /missing required argument "dir"; see oci-artifact-csi unmount --help$/m],
    [['ls', '--outptu', 'json'], /\(did you mean --output\?\); see oci-artifact-csi ls --help$/m],
    [['--frob'], /unknown option "--frob"; see oci-artifact-csi --help$/m],
    [['ls', '--timeout', '5x'], /: --timeout: invalid duration "5x": must be/],
  ] as const) {
    const ran = await runShell(argv);
    assert.equal(ran.code, 2);
    assert.match(ran.stderr, message);
  }
});

test('a flag with an optional value that takes an operand for it says so', async () => {
  const artifacts = { cancel: async () => 1 };
  const ran = await runShell(['pull', '--strict-policy', 'z:1'], { artifacts });
  assert.equal(ran.code, 2);
  assert.match(ran.stderr, /: --strict-policy: invalid value "z:1": must be true or false\n$/);
  for (const given of ['--strict-policy', '--strict-policy=false'])
    assert.equal((await runShell(['pull', 'z:1', given, '--cancel'], { artifacts })).code, 0, given);
});

test('no command at all shows the help and exits 2', async () => {
  const ran = await runShell([]);
  assert.equal(ran.code, 2);
  assert.match(ran.stderr, /Usage: oci-artifact-csi/);
});

test('a command works through the socket where a daemon answers, and on its own directory if told so', async () => {
  await using directory = await temporaryDirectory();
  const socket = join(directory.path, 'plugins/driver.example/csi.sock');
  const endpoint = `unix://${socket}`;
  const [state, other] = [join(directory.path, 'state'), join(directory.path, 'other')];
  await mkdir(state);
  await mkdir(other);
  const asked: string[] = [];
  const backend = {
    artifacts: { list: async () => [], pin: async () => `sha256:${'a'.repeat(64)}` },
    publishing: {},
    close: async () => {},
  };
  const builder = {
    open: async (settings: Settings) => {
      asked.push(`open ${settings.stateDir}`);
      return backend as never;
    },
    connect: async (path: string) => {
      asked.push(`connect ${path}`);
      return backend as never;
    },
  };
  const run = async (argv: readonly string[]): Promise<string> => {
    const environment = {
      OCI_ARTIFACT_KUBELET_DIR: directory.path,
      OCI_ARTIFACT_DRIVER_NAME: 'driver.example',
      OCI_ARTIFACT_STATE_DIR: state,
    };
    const { stderr, code } = await runShell(argv, { builder, environment });
    assert.equal(code, 0);
    return stderr;
  };

  const said = `oci-artifact-csi: no daemon answers on ${endpoint} or unix:///csi/csi.sock; using the state directory ${state}\n`;
  assert.equal(await run(['ls']), '', 'it reads the same');
  assert.equal(await run(['pin', 'z']), said);
  assert.equal(await run(['pin', 'z', '--output', 'json']), '', 'a program reads this');
  await mkdir(dirname(socket), { recursive: true });
  const server = createServer().listen(socket);
  await once(server, 'listening');
  try {
    assert.equal(await run(['ls']), '');
    assert.equal(await run(['ls', '--state-dir', other]), '');
    assert.equal(await run(['ls', '--state-dir', other, '--endpoint', endpoint]), '');
  } finally {
    server.close();
  }
  const [opened, connected] = [`open ${state}`, `connect ${socket}`];
  assert.deepEqual(asked, [opened, opened, opened, connected, `open ${other}`, connected]);
});

test('a given socket without a server is an error, and no state directory is used instead', async () => {
  const builder = { open: async () => assert.fail('it was opened') };
  const endpoint = 'unix:///nowhere/csi.sock';
  for (const line of ['pull z', 'mount z /z', 'load /', 'resolve z', 'ls', 'prune', 'status']) {
    const said = `oci-artifact-csi: no daemon answers on ${endpoint}; start the daemon, or correct --endpoint (CSI_ENDPOINT), or give --state-dir in its place to work on a state directory\n`;
    const named = [
      await runShell(line.split(' '), { environment: { CSI_ENDPOINT: endpoint }, builder }),
      await runShell([...line.split(' '), '--endpoint', endpoint, '--state-dir', '/'], { builder }),
    ];
    for (const ran of named) assert.deepEqual([ran.code, ran.stderr], [exitCodes.unavailable, said], line);
  }
});

test('only a command that stores something creates a state directory', async () => {
  await using directory = await temporaryDirectory();
  const absent = join(directory.path, 'state');
  const environment = { OCI_ARTIFACT_STATE_DIR: absent };
  const shown = `there is no state directory ${absent}`;
  for (const line of [
    'ls',
    'volumes',
    'inspect z',
    'fsck',
    'prune',
    'rm z',
    'pin z',
    'unpin z',
    'unmount /z',
  ]) {
    const builder = { open: async () => assert.fail('it was opened') };
    const ran = await runShell(line.split(' '), { environment, builder });
    assert.equal(ran.code, exitCodes.unavailable, line);
    assert.match(
      ran.stderr,
      /^oci-artifact-csi: no daemon answers on unix:\/\/\/nowhere\/\S+ or \S+csi\.sock, and /,
    );
    assert.ok(ran.stderr.includes(`, and ${shown}; start the daemon`), ran.stderr);
    const named = await runShell([...line.split(' '), '--state-dir', absent], { builder });
    assert.equal(named.code, exitCodes.invalid);
    assert.equal(named.stderr, `oci-artifact-csi: ${shown}; correct --state-dir\n`);
  }
  const [alone, without] = [[absent], [absent, '/proc/none']];
  for (const [line, expected] of [
    ['pull z', alone],
    ['mount z /z', alone],
    ['load /', alone],
    ['resolve z', without],
    ['inspect --credentials z', without],
  ] as const) {
    const opened: string[] = [];
    const builder = {
      open: async ({ stateDir }: { readonly stateDir: string }) => {
        opened.push(stateDir);
        throw new ArtifactError('busy', 'enough');
      },
    };
    await runShell(line.split(' '), { environment, builder });
    assert.deepEqual(opened, expected, line);
  }
});

test('a command with a flag that the daemon would not obey is refused', async () => {
  await using directory = await temporaryDirectory();
  const socket = join(directory.path, 'csi.sock');
  const server = createServer().listen(socket);
  await once(server, 'listening');
  try {
    const environment = { CSI_ENDPOINT: `unix://${socket}`, OCI_ARTIFACT_CACHE_HIGH: '90' };
    const backend = { artifacts: { list: async () => [] }, publishing: {}, close: async () => {} };
    const builder = { connect: async () => backend as never, open: async () => backend as never };
    const plain = await runShell(['ls'], { environment, builder });
    assert.equal(plain.code, 0, 'variables are for whichever works');
    const idle = await runShell(['pull', 'z', '--registries-conf', '/x', '--cache-high', '80'], {
      environment,
      builder,
    });
    assert.equal(idle.code, 2);
    assert.match(
      idle.stderr,
      /^oci-artifact-csi: --registries-conf, --cache-high would have no effect: the daemon at unix:\S+ works by its own flags; [^\n]+\n$/,
    );
    const direct = ['inspect', 'z', '--registries-conf', '/x', '--state-dir', directory.path];
    const artifacts = { inspect: async () => assert.fail('it was opened') };
    const opened = await runShell(direct, {
      environment,
      builder: { open: async () => ({ ...backend, artifacts }) as never },
    });
    assert.match(opened.stderr, /it was opened/);
    const foreign = await runShell(['ls', '--registries-conf', '/x', '--state-dir', directory.path], {
      environment,
      builder,
    });
    assert.equal(foreign.code, 2, 'ls asks no registry, with or without a daemon');
  } finally {
    server.close();
  }
});

test('the daemon of the host is found in the plugins directory of kubelet', async () => {
  await using directory = await temporaryDirectory();
  const plugin = join(directory.path, 'plugins/driver.example');
  await mkdir(plugin, { recursive: true });
  const socket = join(plugin, 'csi.sock');
  const server = createServer().listen(socket);
  await once(server, 'listening');
  const asked: string[] = [];
  const backend = { artifacts: { list: async () => [] }, publishing: {}, close: async () => {} };
  const connect = async (path: string): Promise<never> => {
    asked.push(path);
    return backend as never;
  };
  try {
    const argv = ['ls', '--kubelet-dir', directory.path, '--driver-name', 'driver.example'];
    const { code } = await runShell(argv, { environment: { CSI_ENDPOINT: undefined }, builder: { connect } });
    assert.equal(code, 0);
    assert.deepEqual(asked, [socket]);
  } finally {
    server.close();
  }
});

test('--timeout ends a command that takes longer, and says so', async () => {
  const list = async (): Promise<never> => new Promise(() => {});
  const ran = await runShell(['ls', '--timeout', '1s'], { artifacts: { list } });
  assert.equal(ran.code, exitCodes.unavailable);
  assert.equal(ran.stderr, `${onDirectory}oci-artifact-csi: not done within --timeout 1s\n`);
  for (const [bytes, sequel] of [
    [0, /: not done within --timeout 1s; nothing of z:1 was downloaded yet$/m],
    [5, /: not done within --timeout 1s; what was downloaded of z:1 is kept, and /],
  ] as const) {
    const pull: Artifacts['pull'] = async (_, update, signal) => {
      update({ phase: 'download', bytes, totalBytes: 9, layers: 0, totalLayers: 1, bytesPerSecond: 0 });
      await once(signal, 'abort');
      throw signal.reason;
    };
    const pulled = await runShell(['pull', 'z:1', '--timeout', '1s'], { artifacts: { pull } });
    assert.equal(pulled.code, exitCodes.unavailable);
    assert.match(pulled.stderr, sequel);
  }
  assert.equal((await runShell(['ls', '--timeout', 'soon'])).code, exitCodes.invalid);
});

test('a text that begins like a digest and is none is refused before anything is opened', async () => {
  const builder = { open: async () => assert.fail('it was opened') };
  for (const text of ['sha256:xyz', 'sha256:12', 'sha512:ABCDEF']) {
    const ran = await runShell(['inspect', text], { builder });
    assert.equal(ran.code, exitCodes.invalid);
    assert.match(ran.stderr, /invalid digest ".*": must have at least four hex digits, in lower case/);
  }
});

test('--timeout 0 is no limit, and neither is a time longer than a timer of Node', async () => {
  const list = async (): Promise<[]> => {
    await sleep(20);
    return [];
  };
  for (const timeout of ['0', '999999d'])
    assert.equal((await runShell(['ls', '--timeout', timeout], { artifacts: { list } })).code, 0, timeout);
});

test('a daemon that accepts and says nothing is given ten seconds', async () => {
  await using directory = await temporaryDirectory();
  const socket = join(directory.path, 'csi.sock');
  const server = createSilentServer().listen(socket);
  await once(server, 'listening');
  try {
    const ran = await runShell(['pull', 'z'], { environment: { CSI_ENDPOINT: `unix://${socket}` } });
    assert.equal(ran.code, exitCodes.unavailable);
    assert.match(
      ran.stderr,
      /^oci-artifact-csi: the daemon at unix:\S+\/csi\.sock does not answer; [^\n]+\n$/,
    );
  } finally {
    server.close();
  }
});

test('what the parts of this process log is a line for people, or JSON where that was asked for', async () => {
  const open = async (_: unknown, log: Logger): Promise<never> => {
    log.info('not for a shell');
    log.warn({ host: 'mirror\u001b[2J', ms: 5 }, 'a mirror is\npassed over');
    log.warn('short');
    log.error('a file is broken, which the error says too');
    throw new ArtifactError('busy', 'enough');
  };
  const text = await runShell(['ls'], { builder: { open } });
  assert.deepEqual(text.stderr.split('\n'), [
    'oci-artifact-csi: warn: a mirror is\\u000apassed over ms=5 host=mirror\\u001b[2J',
    'oci-artifact-csi: warn: short',
    'oci-artifact-csi: enough',
    '',
  ]);
  const json = await runShell(['ls', '--output', 'json'], { builder: { open } });
  const lines = json.stderr
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as unknown);
  assert.deepEqual(lines[1], { level: 'warn', msg: 'short' });
  assert.equal(lines.length, 3);
});

test('the backend is closed after a command that failed', async () => {
  let closed = 0;
  const close = async (): Promise<void> => {
    closed++;
  };
  const list = async (): Promise<never> => {
    throw new Error('EIO');
  };
  const ran = await runShell(['ls'], {
    builder: { open: async () => ({ artifacts: { list }, publishing: {}, close }) as never },
  });
  assert.equal(ran.code, 1);
  assert.equal(closed, 1);
});
