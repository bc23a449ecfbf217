import assert from 'node:assert/strict';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { describe, test } from 'node:test';
import { driverName, registriesConf } from '../support/cluster/driver.ts';
import { artifact, claim, claimed, pod, secret, type Volume } from '../support/cluster/objects.ts';
import { alice, hosts } from '../support/cluster/registries.ts';
import { nodeAddress } from '../support/cluster/root.ts';
import { clusterNeeds, shareCluster } from '../support/cluster/shared.ts';
import { tokenService, tokenServiceProgram } from '../support/cluster/token-service.ts';
import { pushUnmountable, signaturePolicy, unmountable } from '../support/cluster/unmountable.ts';
import { toolPath } from '../support/project/tools.ts';

const tiny = `${hosts.open}/models/tiny:1`;
const closed = `${hosts.private}/private/model:1`;
const exchanged = `${hosts.private}/tokens/model:1`;
const options = { ...clusterNeeds, concurrency: 8 };

const auths = (password: string): object => ({ [hosts.private]: { username: alice.username, password } });
const pullSecret = (name: string, password: string): object =>
  secret(
    name,
    { '.dockerconfigjson': JSON.stringify({ auths: auths(password) }) },
    'kubernetes.io/dockerconfigjson',
  );
const olderPullSecret = (name: string, password: string): object =>
  secret(name, { '.dockercfg': JSON.stringify(auths(password)) }, 'kubernetes.io/dockercfg');

/** A volume with the credential of a secret. */
function withSecret(reference: string, name: string): Volume {
  const { csi } = artifact(reference) as { csi: object };
  return { csi: { ...csi, nodePublishSecretRef: { name } } };
}

/** What a pod's owner did, and what `kubectl describe pod` then says. */
const refusals: Readonly<Record<string, { readonly volume: Volume; readonly message: RegExp }>> = {
  'a tag that does not exist': {
    volume: artifact(`${hosts.open}/models/tiny:nope`),
    message: /NotFound desc = registry\.test:5000\/models\/tiny:nope does not exist.*check/,
  },
  'no credential for a private registry': {
    volume: artifact(closed),
    message: /Unauthenticated desc = .*private\/model.*needs a credential.*nodePublishSecretRef/,
  },
  'a wrong credential': {
    volume: withSecret(closed, 'wrong'),
    message: /Unauthenticated desc = .*nodePublishSecretRef.*not accepted/,
  },
  'a secret that does not exist': {
    volume: withSecret(closed, 'missing'),
    message: /secrets? "missing" not found/,
  },
  'no readOnly': {
    volume: { csi: { driver: driverName, volumeAttributes: { reference: tiny } } },
    message: /InvalidArgument desc = .*set readOnly: true under volumes\[\]\.csi/,
  },
  'a mistyped attribute': {
    volume: { csi: { driver: driverName, readOnly: true, volumeAttributes: { refernce: tiny } } },
    message: /InvalidArgument desc = .*"refernce".*reference/,
  },
  'upper case in a repository': {
    volume: artifact(`${hosts.open}/Models/tiny:1`),
    message: /InvalidArgument desc = .*write "registry\.test:5000\/models\/tiny:1"/,
  },
  'no reference': {
    volume: { csi: { driver: driverName, readOnly: true, volumeAttributes: { subPath: 'a' } } },
    message: /InvalidArgument desc = .*reference/,
  },
  'a pull policy that does not exist': {
    volume: artifact(tiny, { pullPolicy: 'Sometimes' }),
    message: /InvalidArgument desc = .*Always, IfNotPresent or Never/,
  },
  'a subPath that the artifact lacks': {
    volume: artifact(tiny, { subPath: 'nothing' }),
    message: /FailedPrecondition desc = .*"nothing".*"hello\.txt"/,
  },
  'pullPolicy Never for what is not cached': {
    volume: artifact(`${hosts.open}/models/tiny:2`, { pullPolicy: 'Never' }),
    message: /NotFound desc = .*not in this node's cache/,
  },
  'a registry whose name does not exist': {
    volume: artifact('registry.none:5000/models/tiny:1'),
    message: /registry\.none:5000\/models\/tiny:1.*(?:has not answered yet|check the host)/,
  },
  'a certificate that cannot be verified': {
    volume: artifact('10.77.0.1:10250/x/y:1'),
    message: /certificate of 10\.77\.0\.1:10250 cannot be verified.*--ca-file/,
  },
  'a claim without readOnly in the pod': {
    volume: claimed('writable', false),
    message: /InvalidArgument desc = .*persistentVolumeClaim\.readOnly: true/,
  },
  'a platform that the index lacks': {
    volume: artifact(unmountable.elsewhere, { platform: 'linux/riscv64' }),
    message:
      /FailedPrecondition desc = .*has nothing for linux\/riscv64; it has linux\/s390x: set .*platform/,
  },
  'a path that leads out of the volume': {
    volume: artifact(unmountable.hostile),
    message:
      /FailedPrecondition desc = layer 1 .*hostile:1: .*"\.\.\/\.\.\/etc\/passwd" leads out of its root/,
  },
  'layers that cannot be one tree': {
    volume: artifact(unmountable.clash),
    message: /FailedPrecondition desc = .*models\/tiny:clash.*"hello\.txt\/inside".*/,
  },
  'a malformed pull secret': {
    volume: withSecret(closed, 'malformed'),
    message: /InvalidArgument desc = .*\.dockerconfigjson of nodePublishSecretRef.*JSON/,
  },
  'a registry without TLS that is not marked insecure': {
    volume: artifact(`${nodeAddress}:5000/models/tiny:1`),
    message: /Unavailable desc = .*does not speak TLS.*mark the registry insecure in registries\.conf/,
  },
  'a registry that is blocked': {
    volume: artifact(`${hosts.open}/shut/model:1`),
    message: /PermissionDenied desc = .*shut\/model:1 is blocked: .*registries\.conf has blocked = true/,
  },
  'an artifact without the signature that a policy demands': {
    volume: artifact(unmountable.unsigned),
    message: /PermissionDenied desc = .*signed\/model:1 .*is refused by .*policy\.json: it is not signed/,
  },
  'an artifact larger than the node allows': {
    volume: artifact(unmountable.large),
    message:
      /FailedPrecondition desc = .*models\/large:1 has 3\.\d MiB, and --max-artifact-size allows 2\.0 MiB/,
  },
  'wrong bytes from the registry': {
    volume: artifact(unmountable.wrong),
    message: /Unavailable desc = .*models\/wrong:1: blob sha256:\w+ is not stored: its \d+ bytes have digest/,
  },
};

/** The ways in which a pod's owner gives a credential. */
const credentials: Readonly<Record<string, { readonly volume: Volume; readonly spec?: object }>> = {
  'a pull secret in nodePublishSecretRef': { volume: withSecret(closed, 'right') },
  'a pull secret of the older type in nodePublishSecretRef': { volume: withSecret(closed, 'older') },
  'username and password in nodePublishSecretRef': { volume: withSecret(closed, 'plain') },
  'nodePublishSecretRef of a PersistentVolume': { volume: claimed('private') },
  'imagePullSecrets of the pod': {
    volume: artifact(closed),
    spec: { imagePullSecrets: [{ name: 'right' }] },
  },
  'imagePullSecrets of the service account': {
    volume: artifact(closed),
    spec: { serviceAccountName: 'puller' },
  },
};

/** A credential provider, which asks a token service. Its program runs in the container of the driver. */
const providers = '/opt/providers';
const provider = `#!${providers}/busybox sh
exec ${providers}/busybox wget -q -O - --post-data="$(${providers}/busybox cat)" http://${tokenService.host}/
`;
const providerConfig = {
  apiVersion: 'kubelet.config.k8s.io/v1',
  kind: 'CredentialProviderConfig',
  providers: [
    {
      name: 'exchange',
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
      matchImages: [`${hosts.private}/tokens`],
      defaultCacheDuration: '0s',
      tokenAttributes: {
        serviceAccountTokenAudience: tokenService.audience,
        cacheType: 'Token',
        requireServiceAccount: true,
        requiredServiceAccountAnnotationKeys: [tokenService.annotation],
      },
    },
  ],
};

describe("what a pod's owner is told", options, () => {
  const cluster = shareCluster(async ({ root, start, installDriver, push, apply }) => {
    await mkdir(join(root, providers), { recursive: true });
    await cp(toolPath('busybox'), join(root, providers, 'busybox'));
    await writeFile(join(root, providers, 'exchange'), provider, { mode: 0o755 });
    await start('token-service', process.execPath, [tokenServiceProgram]);
    await Promise.all([
      installDriver({
        tokenRequests: [{ audience: tokenService.audience }],
        credentialProviderConfig: { inline: JSON.stringify(providerConfig) },
        credentialProviderBinDir: { hostPath: providers },
        registriesConf: {
          inline: `${registriesConf}[[registry]]\nlocation = "${hosts.open}/shut"\nblocked = true\n`,
        },
        policy: { inline: signaturePolicy },
        maxArtifactSize: '2MiB',
      }),
      push(tiny, { 'hello.txt': 'hello' }),
      push(closed, { 'secret.txt': 'secret' }),
      push(exchanged, { 'secret.txt': 'secret' }),
    ]);
    await pushUnmountable(cluster, tiny);
    await apply(
      secret('malformed', { '.dockerconfigjson': '{"auths": ' }),
      pullSecret('right', alice.password),
      pullSecret('wrong', 'guess'),
      olderPullSecret('older', alice.password),
      secret('plain', alice),
      ...claim('writable', tiny),
      ...claim('private', closed, {
        csi: { nodePublishSecretRef: { name: 'right', namespace: 'default' } },
      }),
      {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { name: 'puller', namespace: 'default' },
        imagePullSecrets: [{ name: 'right' }],
      },
    );
  });

  for (const [number, [what, { volume, message }]] of Object.entries(refusals).entries()) {
    test(`${what} is explained in the events of the pod`, async () => {
      const name = `refused-${number}`;
      await cluster.apply(pod(name, { volumes: { models: volume } }));
      const told = await cluster.event(name, message);
      assert.match(await cluster.kubectl('describe', 'pod', name), message);
      assert.doesNotMatch(told, /S3CRET|guess/);
    });
  }

  for (const [number, [what, { volume, spec = {} }]] of Object.entries(credentials).entries()) {
    test(`${what} opens a private registry`, async () => {
      const name = `admitted-${number}`;
      await cluster.apply(pod(name, { volumes: { models: volume }, spec }));
      await cluster.ready(name);
      assert.equal(await cluster.exec(name, 'cat', '/models/secret.txt'), 'secret');
    });
  }

  test('a credential provider opens a private registry for the token of one service account', async () => {
    const of = (role: string, name: string): object => ({
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name, namespace: 'default', annotations: { [tokenService.annotation]: role } },
    });
    await cluster.apply(of('reader', 'reader'), of('reader', 'impostor'), of('guest', 'guest'));
    const start = (serviceAccountName: string): Promise<void> =>
      cluster.apply(
        pod(serviceAccountName, { volumes: { models: artifact(exchanged) }, spec: { serviceAccountName } }),
      );
    await start('reader');
    await cluster.ready('reader');
    assert.equal(await cluster.exec('reader', 'cat', '/models/secret.txt'), 'secret');
    for (const name of ['impostor', 'guest', 'default']) await start(name);
    await cluster.event('impostor', /Unauthenticated desc = .*tokens\/model.*needs a credential/);
    await cluster.event('guest', /Unauthenticated desc = .*tokens\/model.*needs a credential/);
    await cluster.event('default', /service account default\/default has no annotation/);
    assert.doesNotMatch(await cluster.driverLog(), /eyJ|S3CRET/); // how a token starts
  });
});
