import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { openKubeApiServer, token } from '../support/node/kube-api.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs } from '../support/project/tools.ts';
import { parseManifests, theOnly, verifyManifests } from '../support/release/manifests.ts';
import { renderChart } from '../tools/chart/render.ts';
import { kubernetesSchemas, kubernetesVersions } from '../tools/chart/schemas.ts';

const args = ['--set', 'uninstallGuard=true,driverName=other.example'];

type JobSpec = {
  readonly template: {
    readonly spec: {
      readonly containers: readonly {
        readonly command: readonly string[];
        readonly args: readonly string[];
        readonly env: readonly { readonly name: string; readonly value: string }[];
      }[];
    };
  };
};

type Answers = Readonly<Record<string, unknown>>;

/** Runs the command of the Job that the chart renders, against an API with these answers. */
async function guard(answers: Answers): Promise<{ readonly code: number; readonly output: string }> {
  const job = theOnly(parseManifests(renderChart({ args })), 'Job')['spec'] as JobSpec;
  const [container] = job.template.spec.containers;
  assert.ok(container !== undefined);
  assert.deepEqual(container.command, ['/nodejs/bin/node']);
  await using server = await openKubeApiServer();
  await using directory = await temporaryDirectory();
  const { clusters } = JSON.parse(await readFile(server.kubeconfig, 'utf8')) as {
    clusters: readonly { cluster: { server: string; 'certificate-authority-data': string } }[];
  };
  const cluster = clusters[0]?.cluster;
  const { hostname, port } = new URL(cluster?.server ?? '');
  const [ca, tokenFile] = [join(directory.path, 'ca.crt'), join(directory.path, 'token')];
  await writeFile(ca, Buffer.from(cluster?.['certificate-authority-data'] ?? '', 'base64'));
  await writeFile(tokenFile, `${token}\n`);
  for (const [path, object] of Object.entries(answers)) server.object(path, object);
  const env = {
    ...Object.fromEntries(container.env.map(({ name, value }) => [name, value])),
    TOKEN_FILE: tokenFile,
    NODE_EXTRA_CA_CERTS: ca,
    KUBERNETES_SERVICE_HOST: hostname,
    KUBERNETES_SERVICE_PORT: port,
  };
  try {
    const { stdout } = await promisify(execFile)(process.execPath, container.args, { env });
    return { code: 0, output: stdout };
  } catch (error) {
    const { code, stderr } = error as { code: number; stderr: string };
    return { code, output: stderr };
  }
}

const pod = (name: string, volume: object, nodeName?: string): object => ({
  metadata: { namespace: 'shop', name },
  spec: { volumes: [volume], ...(nodeName === undefined ? {} : { nodeName }) },
});
const inline = { name: 'm', csi: { driver: 'other.example' } };
const page = (items: readonly object[], next = ''): object => ({ items, metadata: { continue: next } });
const volumes = (driver: string): Answers => ({
  '/api/v1/persistentvolumes': page([
    { spec: { csi: { driver }, claimRef: { namespace: 'shop', name: 'models' } } },
    { spec: { hostPath: {} } },
  ]),
});

describe('the guard of an uninstall', needs('helm', 'kubeconform'), () => {
  test('is a valid hook, and is not there unless it is wanted', () => {
    for (const kubernetes of kubernetesVersions)
      verifyManifests(renderChart({ kubernetes, args }), [kubernetesSchemas(kubernetes)]);
    const hooks = parseManifests(renderChart({ args })).filter(
      ({ metadata }) => metadata.annotations?.['helm.sh/hook'] === 'pre-delete',
    );
    assert.deepEqual(hooks.map(({ kind }) => kind).toSorted(), [
      'ClusterRole',
      'ClusterRoleBinding',
      'Job',
      'ServiceAccount',
    ]);
    assert.doesNotMatch(renderChart(), /pre-delete/);
  });

  test('lets the uninstall go on if no pod uses the driver', async () => {
    const { code, output } = await guard({
      ...volumes('another.example'),
      '/api/v1/pods': page([
        pod('other', { name: 'm', csi: { driver: 'another.example' } }, 'n1'),
        pod('claim', { name: 'm', persistentVolumeClaim: { claimName: 'models' } }, 'n1'),
        pod('not scheduled', inline),
        { ...pod('ended', inline, 'n1'), status: { phase: 'Succeeded' } },
      ]),
    });
    assert.deepEqual([code, output], [0, 'no pod uses other.example\n']);
  });

  test('refuses it while pods do, inline or by a claim, on every page of the list', async () => {
    const { code, output } = await guard({
      ...volumes('other.example'),
      '/api/v1/pods?limit=500': page([pod('a', inline, 'n1')], 'more'),
      '/api/v1/pods?limit=500&continue=more': page([
        pod('b', { name: 'm', persistentVolumeClaim: { claimName: 'models' } }, 'n2'),
        pod('c', { name: 'm', emptyDir: {} }, 'n2'),
        pod('models', { name: 'x', ephemeral: { volumeClaimTemplate: {} } }, 'n2'),
      ]),
    });
    assert.equal(code, 1);
    assert.match(output, /^2 pods use other\.example: shop\/a, shop\/b\nDelete them first/);
  });

  test('refuses it while a pod has a generic ephemeral volume', async () => {
    const { code, output } = await guard({
      '/api/v1/persistentvolumes': page([
        { spec: { csi: { driver: 'other.example' }, claimRef: { namespace: 'shop', name: 'web-0-m' } } },
      ]),
      '/api/v1/pods': page([pod('web-0', { name: 'm', ephemeral: { volumeClaimTemplate: {} } }, 'n1')]),
    });
    assert.equal(code, 1);
    assert.match(output, /^1 pods use other\.example: shop\/web-0\n/);
  });

  test('refuses it while the API does not answer', async () => {
    const { code, output } = await guard({});
    assert.equal(code, 1);
    assert.match(output, /\/api\/v1\/persistentvolumes answered 404/);
  });
});
