import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { tokensKey } from '../../src/oci/credential.ts';
import { waitUntil } from '../support/node/child.ts';
import { spawnDaemon, startDaemon, testNode } from '../support/node/daemon.ts';
import { openKubeApiServer, pathOf, pullSecretObject } from '../support/node/kube-api.ts';
import { writeScript } from '../support/os/script.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs } from '../support/project/tools.ts';
import {
  addPod,
  authOf,
  provider,
  publish,
  push,
  users,
  verifyNoSecret,
} from '../support/registry/private-registry.ts';
import { startRealRegistry } from '../support/registry/real-registry.ts';
import { startTokenServer } from '../support/registry/token-server.ts';

/** Private artifacts in a real registry, and every way in which a pod or a node may be known to it. */

const saToken = 'S3CRET-service-account-token';
const audience = 'registry.test';

describe('with a token server and repositories of teams', needs('root', 'registry', 'oras'), () => {
  const stack = new AsyncDisposableStack();
  after(() => stack.disposeAsync());
  let host: string;
  let a: string;
  let b: string;
  let work: string;

  before(async () => {
    work = stack.use(await temporaryDirectory()).path;
    const server = stack.use(await startTokenServer(users));
    const registry = stack.use(await startRealRegistry(undefined, server.auth));
    host = registry.host;
    a = await push(host, 'team-a/model', 'alice', work);
    b = await push(host, 'team-b/model', 'bob', work);
  });

  test('pods can pull only what their pull secrets and those of their service account allow', async () => {
    await using kube = await openKubeApiServer();
    await using node = await testNode([host]);
    await using daemon = await startDaemon(node, {
      flags: { '--pod-pull-secrets': 'true', '--log-level': 'debug' },
      env: { KUBECONFIG: kube.kubeconfig },
    });
    kube.object(pathOf('secrets', 'default', 'of-a'), pullSecretObject({ [host]: authOf('alice') }));
    kube.object(pathOf('secrets', 'default', 'of-b'), pullSecretObject({ [host]: authOf('bob') }));
    kube.object(pathOf('serviceaccounts', 'default', 'sa-b'), { imagePullSecrets: [{ name: 'of-b' }] });
    kube.object(pathOf('serviceaccounts', 'default', 'default'), {});
    const as = (name: string, spec: Record<string, unknown>) => ({
      attributes: { 'csi.storage.k8s.io/pod.name': name },
      prepare: (uid: string) => addPod(kube, name, uid, spec),
    });
    const podA = as('a', { serviceAccountName: 'default', imagePullSecrets: [{ name: 'of-a' }] });
    const podB = as('b', { serviceAccountName: 'sa-b' });
    const nobody = as('c', { serviceAccountName: 'default' });

    addPod(kube, 'd', 'uid-d', { imagePullSecrets: [{ name: 'of-a' }] });
    const explained = async (pod: { readonly namespace: string; readonly name: string }) =>
      (await daemon.artifacts.ExplainCredentials({ reference: a, pod })).endpoints?.[0]?.sources?.[1];
    assert.match(
      (await explained({ namespace: 'default', name: 'd' })) ?? '',
      /^the pod's pull secrets: used \(.*default\/of-a/,
    );
    await assert.rejects(
      explained({ namespace: 'default', name: 'none' }),
      /NOT_FOUND.*no pod default\/none/,
    );
    await assert.rejects(explained({ namespace: 'default', name: '' }), /INVALID_ARGUMENT.*and a name/);

    const outcomes = [
      await publish(daemon, a, podA),
      await publish(daemon, b, podB),
      await publish(daemon, b, podA),
      await publish(daemon, a, podB),
      await publish(daemon, a, nobody),
      await publish(daemon, a, {
        ...nobody,
        secrets: { '.dockerconfigjson': JSON.stringify({ auths: { [host]: authOf('robot') } }) },
      }),
    ];
    const [first, second, ...rest] = outcomes.map(({ code }) => code);
    assert.deepEqual([first, second], ['OK', 'OK'], JSON.stringify(outcomes));
    const last = rest.pop();
    for (const code of rest) assert.match(code, /^(?:UNAUTHENTICATED|PERMISSION_DENIED)$/);
    assert.equal(last, 'OK', 'the secrets of the call come first');
    assert.match(outcomes[2]?.text ?? '', /the pull secret default\/of-a/);
    verifyNoSecret(daemon, outcomes);
  });

  test('a daemon without the necessary RBAC rule reports the rule', async () => {
    await using kube = await openKubeApiServer();
    await using node = await testNode([host]);
    await using daemon = await startDaemon(node, {
      flags: { '--pod-pull-secrets': 'true' },
      env: { KUBECONFIG: kube.kubeconfig },
    });
    const path = pathOf('pods', 'default', 'pod');
    kube.answer(path, { kind: 'status', code: 403, message: 'pods "pod" is forbidden' });
    const outcome = await publish(daemon, a);
    assert.equal(outcome.code, 'PERMISSION_DENIED');
    assert.match(
      outcome.text,
      /may not get pods in the namespace default.*resources: \[pods\], verbs: \[get\]/,
    );
    kube.answer(path, { kind: 'status', code: 503, message: 'etcd is away' });
    assert.equal((await publish(daemon, a)).code, 'UNAVAILABLE');
  });

  test('a provider plugin that exchanges service account tokens gives access to that account only', async () => {
    await using node = await testNode([host]);
    const answer = `{ cacheKeyType: 'Registry', auth: request.serviceAccountToken === '${saToken}' ? { [host]: { username: 'bob', password: '${users.bob.password}' } } : {} }`;
    const flags = await provider(node.path, host, answer, {
      tokenAttributes: {
        serviceAccountTokenAudience: audience,
        cacheType: 'ServiceAccount',
        requireServiceAccount: true,
      },
    });
    await using daemon = await startDaemon(node, { flags: { ...flags, '--log-level': 'debug' } });
    const tokens = (token: string, name: string): string => JSON.stringify({ [name]: { token } });
    const outcomes = [
      await publish(daemon, b, { attributes: { [tokensKey]: tokens(saToken, audience) } }),
      await publish(daemon, b, { secrets: { [tokensKey]: tokens(saToken, audience) } }),
      await publish(daemon, a, { secrets: { [tokensKey]: tokens(saToken, audience) } }),
      await publish(daemon, b, {
        attributes: { 'csi.storage.k8s.io/serviceAccount.name': 'other' },
        secrets: { [tokensKey]: tokens('S3CRET of another', audience) },
      }),
      await publish(daemon, a, { secrets: { [tokensKey]: tokens(saToken, 'elsewhere') } }),
    ];
    assert.deepEqual(
      outcomes.slice(0, 2).map(({ code }) => code),
      ['OK', 'OK'],
      JSON.stringify(outcomes),
    );
    for (const { code } of outcomes.slice(2)) assert.match(code, /^(?:UNAUTHENTICATED|PERMISSION_DENIED)$/);
    assert.match(
      outcomes[4]?.text ?? '',
      /add \{audience: "registry\.test"\} to spec\.tokenRequests of the CSIDriver/,
    );
    verifyNoSecret(daemon, outcomes);
  });

  test('a credential helper of the auth file answers for the node, and so for every pod', async () => {
    await using node = await testNode([host]);
    const bin = join(node.path, 'bin');
    const login = JSON.stringify({ Username: '<token>', Secret: `robot:${users.robot.password}` });
    await writeScript(join(bin, 'docker-credential-vault'), `console.log(${JSON.stringify(login)})`);
    const authFile = join(node.path, 'auth.json');
    await writeFile(authFile, JSON.stringify({ credHelpers: { [host]: 'vault' } }));
    await using daemon = await startDaemon(node, {
      flags: { '--auth-file': authFile, '--log-level': 'debug' },
      env: { PATH: `${bin}:${process.env['PATH']}` },
    });
    const { endpoints } = await daemon.artifacts.ExplainCredentials({ reference: a });
    assert.deepEqual(endpoints, [
      {
        endpoint: `${host}/team-a/model`,
        sources: [
          'the command line: neither --username nor --auth-file',
          "the pod's pull secrets: off (--pod-pull-secrets)",
          'credential providers: none (--credential-provider-config)',
          `the auth file ${authFile}: used (docker-credential-vault, credHelpers of the auth file ${authFile} (${host}))`,
          'anonymous: not needed',
        ],
      },
    ]);
    await assert.rejects(
      daemon.artifacts.ExplainCredentials({ reference: a, pod: { namespace: 'default', name: 'pod' } }),
      /PERMISSION_DENIED.*the Kubernetes API.* is off; run the daemon with --pod-pull-secrets/,
    );
    const outcomes = [await publish(daemon, a), await publish(daemon, b)];
    assert.deepEqual(
      outcomes.map(({ code }) => code),
      ['OK', 'OK'],
      JSON.stringify(outcomes),
    );
    verifyNoSecret(daemon, outcomes);
  });
});

describe('a registry with htpasswd', needs('root', 'registry', 'oras'), () => {
  test('accepts the right password from every source, and no other', async () => {
    await using directory = await temporaryDirectory();
    const htpasswd = join(directory.path, 'htpasswd');
    await writeFile(htpasswd, 'alice:$2y$05$abcdefghijklmnopqrstuuO0AnIs.fiqLTVFPMiNR344RFlenQUaC\n');
    await using registry = await startRealRegistry(undefined, {
      htpasswd: { realm: 'test', path: htpasswd },
    });
    const { host } = registry;
    const reference = await push(host, 'private/model', 'alice', join(directory.path, 'work'));
    const right = { '.dockerconfigjson': JSON.stringify({ auths: { [host]: authOf('alice') } }) };
    const wrong = { username: 'alice', password: 'S3CRET guess' };

    await using node = await testNode([host]);
    {
      await using daemon = await startDaemon(node, { flags: { '--log-level': 'debug' } });
      const outcomes = [
        await publish(daemon, reference),
        await publish(daemon, reference, { secrets: wrong }),
        await publish(daemon, reference, { secrets: right }),
        await publish(daemon, reference, { secrets: wrong }),
      ];
      assert.deepEqual(
        outcomes.map(({ code }) => code),
        ['UNAUTHENTICATED', 'UNAUTHENTICATED', 'OK', 'UNAUTHENTICATED'],
      );
      assert.match(
        outcomes[1]?.text ?? '',
        /the credential of username and password of nodePublishSecretRef is not accepted/,
      );
      verifyNoSecret(daemon, outcomes);
    }
    await using other = await testNode([host]);
    const flags = await provider(
      other.path,
      host,
      `{ cacheKeyType: 'Image', auth: { [host]: { username: 'alice', password: '${users.alice.password}' } } }`,
    );
    await using daemon = await startDaemon(other, { flags });
    const outcomes = [await publish(daemon, reference, { secrets: wrong }), await publish(daemon, reference)];
    assert.deepEqual(
      outcomes.map(({ code }) => code),
      ['UNAUTHENTICATED', 'OK'],
      JSON.stringify(outcomes),
    );
    verifyNoSecret(daemon, outcomes);
  });
});

describe('a daemon with an unusable configuration', () => {
  test('is not ready, and reports what its credential provider lacks', async () => {
    await using node = await testNode();
    const attributes = {
      serviceAccountTokenAudience: audience,
      cacheType: 'Token',
      requireServiceAccount: true,
      requiredServiceAccountAnnotationKeys: ['a.io/role'],
    };
    const flags = await provider(node.path, 'r.io', '{}', { tokenAttributes: attributes });
    await using daemon = await spawnDaemon(node, { flags });
    const says = /has requiredServiceAccountAnnotationKeys.*set --pod-pull-secrets/;
    await waitUntil(daemon, () => says.test(daemon.output()), 'told what is wrong');
    const isUnready = async (): Promise<boolean> => {
      const { ready } = await daemon.identity.Probe({});
      return ready?.value === false;
    };
    await waitUntil(daemon, () => isUnready().catch(() => false), 'serving, and not ready');
  });

  test('does not start if its flags need the Kubernetes API and there is none', async () => {
    await using node = await testNode();
    const env = { KUBECONFIG: '', KUBERNETES_SERVICE_HOST: '' };
    await assert.rejects(
      startDaemon(node, { flags: { '--pod-pull-secrets': 'true' }, env }),
      /or set KUBECONFIG/,
    );
  });
});
