import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { runShell } from '../../test/support/shell.ts';
import { temporaryFolder } from '../../test/support/temporary.ts';
import { ArtifactError, type ErrorCode } from '../util/error.ts';
import { exitCodes } from './exit.ts';
import type { Settings } from './settings.ts';

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
    assert.equal(ran.stderr, 'oci-artifact-csi: cannot\\u000alist; try \\u001b[31mthis\n');
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
    assert.match(ran.stderr, /^oci-artifact-csi: [^\n]+[^.]\n$/, argv.join(' '));
    if (argv.includes('--output') || argv[0] === 'serve') continue;
    const { stderr } = await runShell([...argv, '--output', 'json']);
    assert.partialDeepStrictEqual(JSON.parse(stderr), { error: { code: 'invalid' } });
  }
});

test('help names every exit code, version names the program', async () => {
  const help = await runShell(['--help']);
  assert.equal(help.code, 0);
  for (const code of [0, ...Object.values(exitCodes)]) {
    assert.match(help.stdout, new RegExp(`^ +${code}  \\w`, 'm'));
  }
  assert.match((await runShell(['version'])).stdout, /^oci-artifact-csi \d+\.\d+\.\d+ \(node v26/);
  const json = (await runShell(['version', '--output', 'json'])).json;
  assert.deepEqual(Object.keys(json as object), ['version', 'node', 'platform']);
});

test('no command at all shows the help and exits 2', async () => {
  const ran = await runShell([]);
  assert.equal(ran.code, 2);
  assert.match(ran.stderr, /Usage: oci-artifact-csi/);
});

test('a command works through the socket where a daemon answers, and on its own folder if told so', async () => {
  await using folder = await temporaryFolder();
  const socket = join(folder.path, 'csi.sock');
  const endpoint = `unix://${socket}`;
  const asked: string[] = [];
  const house = { artifacts: { list: async () => [] }, publishing: {}, close: async () => {} };
  const builder = {
    open: async (settings: Settings) => {
      asked.push(`open ${settings.stateDir}`);
      return house as never;
    },
    connect: async (path: string) => {
      asked.push(`connect ${path}`);
      return house as never;
    },
  };
  const run = (argv: readonly string[]): ReturnType<typeof runShell> =>
    runShell(argv, { builder, environment: { CSI_ENDPOINT: endpoint, OCI_ARTIFACT_STATE_DIR: '/state' } });

  await run(['ls']);
  const server = createServer().listen(socket);
  await once(server, 'listening');
  try {
    await run(['ls']);
    await run(['ls', '--state-dir', '/other']);
    await run(['ls', '--state-dir', '/other', '--endpoint', endpoint]);
  } finally {
    server.close();
  }
  assert.deepEqual(asked, ['open /state', `connect ${socket}`, 'open /other', `connect ${socket}`]);
});

test('the house is closed after a command that failed', async () => {
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
