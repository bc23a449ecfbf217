import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import {
  openKubeApiServer,
  pathOf,
  type TestKubeApi,
  toKubeconfig,
  token,
} from '../../test/support/node/kube-api.ts';
import { freePort } from '../../test/support/os/port.ts';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { ArtifactError } from '../util/error.ts';
import { type KubeApi, openKubeApi } from './api.ts';

const never = new AbortController().signal;

describe('the Kubernetes API', () => {
  let server: TestKubeApi;
  let api: KubeApi;
  before(async () => {
    server = await openKubeApiServer();
    process.env['KUBECONFIG'] = server.kubeconfig;
    api = await openKubeApi();
  });
  after(async () => {
    delete process.env['KUBECONFIG'];
    await server[Symbol.asyncDispose]();
  });

  test('returns existing objects, and nothing for missing ones', async () => {
    const spec = { serviceAccountName: 'sa', imagePullSecrets: [{ name: 'one' }], containers: [] };
    server.object(pathOf('pods', 'shop', 'web'), {
      kind: 'Pod',
      apiVersion: 'v1',
      metadata: { uid: 'u' },
      spec,
    });
    const pod = await api.pod('shop', 'web', never);
    assert.equal(pod?.metadata?.uid, 'u');
    assert.equal(pod?.spec?.serviceAccountName, 'sa');
    assert.deepEqual(
      pod?.spec?.imagePullSecrets?.map(({ name }) => name),
      ['one'],
    );
    assert.equal(await api.secret('shop', 'none', never), undefined);
    assert.equal(await api.serviceAccount('shop', 'none', never), undefined);
  });

  test('a name cannot lead to another object', async () => {
    await api.secret('shop', '../../kube-system/secrets/root', never);
    assert.equal(server.asked.at(-1), pathOf('secrets', 'shop', '..%2F..%2Fkube-system%2Fsecrets%2Froot'));
  });

  for (const [resource, read] of [
    ['pods', () => api.pod('shop', 'no', never)],
    ['serviceaccounts', () => api.serviceAccount('shop', 'no', never)],
    ['secrets', () => api.secret('shop', 'no', never)],
  ] as const) {
    test(`a missing right to ${resource} is reported as the rule to add`, async () => {
      const message = `${resource} "no" is forbidden: User "system:serviceaccount:a:b" cannot get it`;
      server.answer(pathOf(resource, 'shop', 'no'), { kind: 'status', code: 403, message });
      await assert.rejects(read(), {
        code: 'denied',
        message: new RegExp(
          `may not get ${resource} in the namespace shop.*\\{apiGroups: \\[""\\], resources: \\[${resource}\\], verbs: \\[get\\]\\}.*403 \\(.*system:serviceaccount:a:b`,
        ),
      });
    });
  }

  test('an API that fails is unavailable, not an answer', async () => {
    server.answer(pathOf('secrets', 'shop', 'ill'), { kind: 'status', code: 500, message: 'etcd' });
    await assert.rejects(api.secret('shop', 'ill', never), {
      code: 'unavailable',
      message: /answered 500 \(etcd\)/,
    });
  });

  test('an aborted call throws its own reason', async () => {
    server.answer(pathOf('secrets', 'shop', 'slow'), { kind: 'silence' });
    const leaving = new AbortController();
    const reading = api.secret('shop', 'slow', leaving.signal);
    setTimeout(() => leaving.abort(new Error('gone')), 50);
    await assert.rejects(reading, /^Error: gone$/);
  });
});

describe('a daemon that cannot use the API', () => {
  const cleanUp = async (): Promise<void> => {
    delete process.env['KUBECONFIG'];
    delete process.env['KUBERNETES_SERVICE_HOST'];
  };
  after(cleanUp);

  test('reports at start that there is no cluster', async () => {
    await cleanUp();
    await assert.rejects(openKubeApi(), {
      code: 'invalid',
      message: /run the daemon in a pod.*or set KUBECONFIG/,
    });
  });

  test('reports a kubeconfig that cannot be used, and quotes nothing of it', async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, 'kubeconfig');
    process.env['KUBECONFIG'] = file;
    await assert.rejects(openKubeApi(), { code: 'invalid', message: /kubeconfig cannot be used \(ENOENT\)/ });
    for (const text of [`users: [{token: ${token}`, `{"users": "${token}"}`, token, '']) {
      await writeFile(file, text);
      await assert.rejects(
        openKubeApi(),
        (thrown: unknown) =>
          thrown instanceof ArtifactError &&
          thrown.code === 'invalid' &&
          !inspect(thrown, { depth: 10 }).includes(token),
        text,
      );
    }
  });

  test('names the server that does not answer, is unknown or cannot be verified, and quotes no token', async () => {
    await using directory = await temporaryDirectory();
    await using server = await openKubeApiServer();
    const file = join(directory.path, 'kubeconfig');
    process.env['KUBECONFIG'] = file;
    const known = await readFile(server.kubeconfig, 'utf8');
    const nobody = toKubeconfig(`https://127.0.0.1:${await freePort()}`, '', token);
    const rows = [
      [nobody, 'unavailable', /cannot be asked: .*ECONNREFUSED/],
      [known.replace(token, 'other'), 'denied', /answered 401: it does not know this daemon/],
      [
        known.replace(/"certificate-authority-data":"[^"]*"/, '"tls-server-name":"x"'),
        'unavailable',
        /cannot be asked: .*self-signed/,
      ],
    ] as const;
    for (const [text, code, message] of rows) {
      await writeFile(file, text);
      const api = await openKubeApi();
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
});
