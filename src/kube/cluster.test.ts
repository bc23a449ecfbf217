import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import process from 'node:process';
import { afterEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { openKubeApiServer, pathOf, toKubeconfig, token } from '../../test/support/node/kube-api.ts';
import { freePort } from '../../test/support/os/port.ts';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { ArtifactError } from '../util/error.ts';
import { openKubeApi } from './api.ts';
import { findCluster } from './cluster.ts';

const never = new AbortController().signal;
const quiet = (): void => {};
const variables = ['KUBECONFIG', 'KUBERNETES_SERVICE_HOST', 'KUBERNETES_SERVICE_PORT'];
afterEach(() => {
  for (const name of variables) delete process.env[name];
});

for (const [host, port, url] of [
  ['10.96.0.1', '443', 'https://10.96.0.1:443'],
  ['fd00::1', '6443', 'https://[fd00::1]:6443'],
  ['kubernetes.default.svc', '', 'https://kubernetes.default.svc:443'],
] as const) {
  test(`a pod finds the API at ${url}`, async () => {
    process.env['KUBERNETES_SERVICE_HOST'] = host;
    process.env['KUBERNETES_SERVICE_PORT'] = port;
    assert.equal((await findCluster('--events', quiet)).access().url, url);
  });
}

test('a replaced token of the service account is used from the next request', async () => {
  await using directory = await temporaryDirectory();
  await writeFile(join(directory.path, 'ca.crt'), 'CA');
  process.env['KUBERNETES_SERVICE_HOST'] = '10.96.0.1';
  const cluster = await findCluster('--events', quiet, directory.path);
  for (const expected of ['first', 'second']) {
    await writeFile(join(directory.path, 'token'), `${expected}\n`);
    assert.deepEqual(await cluster.access().credentials(never), {
      ca: 'CA',
      headers: { authorization: `Bearer ${expected}` },
    });
  }
});

test('a daemon without a cluster is told which flag needs one', async () => {
  await assert.rejects(findCluster('--events', quiet), {
    code: 'invalid',
    message: /^--events needs the Kubernetes API: run the daemon in a pod .*, or set KUBECONFIG$/,
  });
});

describe('a KUBECONFIG', () => {
  /** Writes a kubeconfig, and makes it the one of this process. */
  async function write(path: string, text: string): Promise<string> {
    const file = join(path, 'kubeconfig');
    await writeFile(file, text);
    process.env['KUBECONFIG'] = file;
    return file;
  }

  test('that cannot be used is reported at start, and nothing of it is quoted', async () => {
    await using directory = await temporaryDirectory();
    process.env['KUBECONFIG'] = join(directory.path, 'none');
    await assert.rejects(findCluster('--events', quiet), {
      code: 'invalid',
      message: /^--events: KUBECONFIG .*none: it does not exist/,
    });
    const user = (fields: object): string => toKubeconfig('https://api.test', '', fields);
    const rows: readonly (readonly [string, RegExp])[] = [
      [`users: [{token: ${token}`, /^--events: KUBECONFIG \S+kubeconfig cannot be used \(it is malformed\)/],
      [`{"users": "${token}"}`, /has no current context with a cluster and a user/],
      [token, /has no current context|cannot be used/],
      ['', /cannot be used/],
      [toKubeconfig('socks5://api.test', '', token), /has a server that is no http or https URL/],
      [
        toKubeconfig('https://api.test', '', token).replace(
          '"server"',
          '"proxy-url":"http://p.test","server"',
        ),
        /has a proxy-url, which is not supported/,
      ],
      [
        user({ exec: { command: 'x', apiVersion: 'v1' } }),
        /apiVersion: .*must be client\.auth\S+ or v1beta1$/,
      ],
      [user({ token, exec: { command: 'x' } }), /exec has no apiVersion/],
    ];
    for (const [text, expected] of rows) {
      await write(directory.path, text);
      await assert.rejects(
        findCluster('--events', quiet),
        (thrown: unknown) =>
          thrown instanceof ArtifactError &&
          thrown.code === 'invalid' &&
          expected.test(thrown.message) &&
          !inspect(thrown, { depth: 10 }).includes(token),
        text,
      );
    }
  });

  test('names the server that does not answer, is unknown or cannot be verified, and quotes no token', async () => {
    await using directory = await temporaryDirectory();
    await using server = await openKubeApiServer();
    const known = await readFile(server.kubeconfig, 'utf8');
    const nobody = toKubeconfig(`https://127.0.0.1:${await freePort()}`, '', token);
    const rows = [
      [nobody, 'unavailable', /cannot be asked: .*ECONNREFUSED/],
      [
        known.replace(token, 'other'),
        'denied',
        /answered 401 \(Unauthorized\): it does not know this daemon/,
      ],
      [
        known.replace(/"certificate-authority-data":"[^"]*"/, '"tls-server-name":"x"'),
        'unavailable',
        /cannot be asked: .*self-signed/,
      ],
    ] as const;
    for (const [text, code, message] of rows) {
      await write(directory.path, text);
      const api = openKubeApi(await findCluster('--pod-pull-secrets', quiet));
      await assert.rejects(
        api.secret('a', 'b', never),
        (thrown: unknown) =>
          thrown instanceof ArtifactError &&
          thrown.code === code &&
          message.test(thrown.message) &&
          !inspect(thrown, { depth: 10 }).includes(token),
      );
    }
  });

  test('is read again when it changes; while it is wrong, the last good one stays in use', async () => {
    await using directory = await temporaryDirectory();
    await using server = await openKubeApiServer();
    server.object(pathOf('secrets', 'shop', 'one'), { kind: 'Secret', data: { a: 'Yg==' } });
    const known = await readFile(server.kubeconfig, 'utf8');
    const file = await write(directory.path, known.replace(token, 'other'));
    const told: string[] = [];
    const api = openKubeApi(await findCluster('--pod-pull-secrets', text => void told.push(text)));
    await assert.rejects(api.secret('shop', 'one', never), { code: 'denied' });
    await writeFile(file, known);
    assert.deepEqual((await api.secret('shop', 'one', never))?.data, { a: 'Yg==' });
    await writeFile(file, 'users: [');
    assert.deepEqual((await api.secret('shop', 'one', never))?.data, { a: 'Yg==' });
    assert.deepEqual(told, [
      `KUBECONFIG ${file} has changed and was read again`,
      `--pod-pull-secrets: KUBECONFIG ${file} cannot be used (it is malformed); until the file is corrected, its last valid version stays in use`,
    ]);
  });

  test('of a server by http works', async () => {
    await using directory = await temporaryDirectory();
    const server = createServer((request, response) => {
      response.end(JSON.stringify({ metadata: { uid: request.headers.authorization } }));
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    using _ = { [Symbol.dispose]: () => void server.close() };
    server.on('connection', socket => socket.unref());
    await write(
      directory.path,
      toKubeconfig(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, '', token),
    );
    const api = openKubeApi(await findCluster('--pod-pull-secrets', quiet));
    assert.equal((await api.pod('shop', 'web', never))?.metadata?.uid, `Bearer ${token}`);
  });

  /** A kubeconfig with a program, which is the text of a shell script. */
  async function writePlugin(path: string, script: string): Promise<void> {
    const plugin = join(path, 'plugin');
    await writeFile(plugin, `#!/bin/sh\n${script}\n`);
    await chmod(plugin, 0o755);
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: './plugin',
      env: [{ name: 'GREETING', value: 'hello' }],
      interactiveMode: 'Never',
    };
    await write(path, toKubeconfig('https://api.test', '', { exec }));
  }

  test('with a program uses its credential until that ends', async () => {
    await using directory = await temporaryDirectory();
    const count = join(directory.path, 'count');
    const soon = new Date(Date.now() + 10_500).toISOString();
    const status = `{"token":"$GREETING-$(wc -l < ${count})","expirationTimestamp":"${soon}"}`;
    await writePlugin(
      directory.path,
      `echo x >> ${count}; cat >/dev/null
      echo "{\\"kind\\":\\"ExecCredential\\",\\"status\\":${status.replaceAll('"', '\\"')}}"`,
    );
    using cluster = await findCluster('--events', quiet);
    const use = async (): Promise<unknown> =>
      (await cluster.access().credentials(never)).headers?.['Authorization'];
    assert.deepEqual(await Promise.all([use(), use()]), ['Bearer hello-1', 'Bearer hello-1']);
    assert.equal(await use(), 'Bearer hello-1');
    await sleep(700); // it is renewed ten seconds early
    assert.equal(await use(), 'Bearer hello-2');
  });

  test('with a program that hangs leaves none of its processes when the daemon stops', async () => {
    await using directory = await temporaryDirectory();
    const pids = join(directory.path, 'pids');
    await writePlugin(directory.path, `sleep 60 & echo "$$ $!" > ${pids}; wait`);
    const cluster = await findCluster('--events', quiet);
    const waiting = assert.rejects(cluster.access().credentials(never), /the daemon stops/);
    let started: readonly number[] = [];
    for (const end = Date.now() + 10_000; started.length < 2; await sleep(10)) {
      assert.ok(Date.now() < end);
      const text = await readFile(pids, 'utf8').catch(() => '');
      started = text.trim().split(' ').filter(Boolean).map(Number);
    }
    cluster[Symbol.dispose]();
    await waiting;
    const isAlive = (pid: number): boolean => {
      try {
        return process.kill(pid, 0);
      } catch {
        return false;
      }
    };
    for (const end = Date.now() + 5_000; started.some(isAlive) && Date.now() < end; await sleep(10));
    assert.deepEqual(started.filter(isAlive), []);
  });

  test('with a program that fails or prints something else is told, without its output', async () => {
    await using directory = await temporaryDirectory();
    for (const [script, expected] of [
      [`echo ${token}; exit 3`, /plugin ended with code 3$/],
      [`echo ${token}`, /plugin did not print an ExecCredential with a status$/],
    ] as const) {
      await writePlugin(directory.path, script);
      using cluster = await findCluster('--events', quiet);
      await assert.rejects(
        cluster.access().credentials(never),
        (thrown: unknown) =>
          thrown instanceof ArtifactError &&
          expected.test(thrown.message) &&
          !inspect(thrown, { depth: 10 }).includes(token),
      );
    }
  });
});
