import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type DaemonOptions,
  publishRequest,
  startDaemon,
  type TestDaemon,
  testNode,
} from '../support/node/daemon.ts';
import { namespacePath, openKubeApiServer, pathOf } from '../support/node/kube-api.ts';
import { ready } from '../support/node/readiness.ts';
import { unmountBelow } from '../support/os/mounts.ts';
import { ownForEach } from '../support/os/owned.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';

/** Which pods may have which artifacts, by a file of the node's administrator. */

const own = ownForEach();

type World = { readonly registry: FaultyRegistry; readonly daemon: TestDaemon; readonly file: string };

/** A daemon with a policy; `{host}` in it is the registry, which has team/model:v1 and secret/model:v1. */
async function start(policy: string, options: DaemonOptions = {}): Promise<World> {
  const registry = own(await openFaultyRegistry());
  for (const repository of ['team/model', 'secret/model']) {
    await registry.push(repository, 'v1', [{ name: 'weights', bytes: Buffer.from(repository) }]);
  }
  registry.reset();
  const node = own(await testNode([registry.host]));
  const file = join(node.path, 'access.yaml');
  writeFileSync(file, policy.replaceAll('{host}', registry.host));
  const daemon = own(
    await startDaemon(node, { ...options, flags: { ...options.flags, '--access-policy': file } }),
  );
  return { registry, daemon, file };
}

const inNamespace = (namespace: string) => ({ 'csi.storage.k8s.io/pod.namespace': namespace });

/** Publishes for a new pod, and answers what it reads there. */
async function publish({ daemon }: World, namespace: string, reference: string): Promise<string> {
  const request = await publishRequest(daemon.node, { reference, ...inNamespace(namespace) });
  await daemon.csi.NodePublishVolume(request);
  return readFileSync(join(request.target_path, 'weights'), 'utf8');
}

/** The condition that kubelet gets of a volume. */
async function conditionOf(
  { csi }: TestDaemon,
  { volume_id, target_path }: Awaited<ReturnType<typeof publishRequest>>,
) {
  const { volume_condition } = await csi.NodeGetVolumeStats({ volume_id, volume_path: target_path });
  return [volume_condition?.abnormal, volume_condition?.message] as const;
}

const rules = `
default: deny
rules:
  - name: secrets stay
    namespaces: ["**"]
    references: ["*/secret/**"]
    action: deny
  - name: shops
    namespaces: ["shop-*"]
    references: ["{host}/**"]
    action: allow
`;

test('a pod gets what a rule allows; a refusal names rule and file, and sends no request to the registry', async () => {
  const world = await start(rules);
  const { registry, file } = world;
  assert.equal(await publish(world, 'shop-eu', `${registry.host}/team/model:v1`), 'team/model');
  registry.reset();
  await assert.rejects(
    publish(world, 'shop-eu', `${registry.host}/secret/model:v1`),
    ({ message }: Error) =>
      /PERMISSION_DENIED.*secret\/model:v1 is refused to pods of the namespace "shop-eu"/.test(message) &&
      message.includes(`by the access policy ${file}, its rule "secrets stay" (line 4);`),
  );
  await assert.rejects(
    publish(world, 'default', `${registry.host}/team/model:v1`),
    /PERMISSION_DENIED.*access\.yaml, its default \(line 2\)/,
  );
  assert.deepEqual(registry.asked, []);
});

test('a short name is evaluated by its full references', async () => {
  const world = await start(rules);
  assert.equal(await publish(world, 'shop-eu', 'team/model:v1'), 'team/model');
  await assert.rejects(
    publish(world, 'shop-eu', 'secret/model:v1'),
    /PERMISSION_DENIED.*127\.0\.0\.1:\d+\/secret\/model:v1 is refused .* its rule "secrets stay"/,
  );
});

test('a changed file applies to new mounts; existing mounts stay, even if kubelet publishes them again', async () => {
  const world = await start('default: allow');
  const { daemon, registry, file } = world;
  const reference = `${registry.host}/team/model:v1`;
  const request = await publishRequest(daemon.node, { reference });
  await daemon.csi.NodePublishVolume(request);
  assert.deepEqual(await conditionOf(daemon, request), [false, 'nothing is known to be wrong']);
  writeFileSync(file, 'default: deny');
  const [isAbnormal, message] = await conditionOf(daemon, request);
  assert.equal(isAbnormal, true);
  assert.match(message ?? '', /a new pod would be refused it: .*access\.yaml, its default/);
  await daemon.csi.NodePublishVolume(request);
  assert.equal(readFileSync(join(request.target_path, 'weights'), 'utf8'), 'team/model');
  await assert.rejects(publish(world, 'default', reference), /PERMISSION_DENIED/);
  writeFileSync(file, 'default: [allow]');
  await daemon.csi.NodePublishVolume(request);
  await assert.rejects(
    publish(world, 'default', reference),
    /PERMISSION_DENIED.*access\.yaml of this node is broken \(line 1: default must be text/,
  );
  writeFileSync(file, 'default: allow');
  assert.equal(await publish(world, 'default', reference), 'team/model');
});

test('after each reboot a volume is evaluated by the tag that it was mounted by', async () => {
  const world = await start(
    'default: deny\nrules: [{namespaces: [default], references: ["{host}/team/model:v1"], action: allow}]',
  );
  const { registry, file } = world;
  let { daemon } = world;
  const request = await publishRequest(daemon.node, { reference: `${registry.host}/team/model:v1` });
  await daemon.csi.NodePublishVolume(request);
  await registry.push('team/model', 'v1', [{ name: 'weights', bytes: Buffer.from('newer') }]);
  for (const _reboot of [1, 2]) {
    await daemon[Symbol.asyncDispose]();
    unmountBelow(daemon.node.kubeletDir);
    daemon = own(await startDaemon(daemon.node, { flags: { '--access-policy': file } }));
    await daemon.csi.NodePublishVolume(request);
    assert.equal(readFileSync(join(request.target_path, 'weights'), 'utf8'), 'team/model');
  }
  writeFileSync(file, 'default: deny');
  unmountBelow(daemon.node.kubeletDir);
  await assert.rejects(daemon.csi.NodePublishVolume(request), /PERMISSION_DENIED/);
});

test('a file that breaks later is reported at once: in /readyz, in the metric, and once in the log', async () => {
  const policy = JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] });
  const directory = own(await temporaryDirectory());
  const signatures = join(directory.path, 'policy.json');
  writeFileSync(signatures, policy);
  const { daemon, file } = await start('default: allow', { flags: { '--policy': signatures } });
  const ask = async (path: string): Promise<string> => (await fetch(`${daemon.http}${path}`)).text();
  const errors = async () => /^oci_artifact_csi_configuration_errors \d+$/m.exec(await ask('/metrics'))?.[0];
  assert.match(await ask('/readyz'), ready);

  writeFileSync(file, 'default: [allow]');
  writeFileSync(signatures, '{');
  const readyz = await ask('/readyz');
  assert.match(readyz, /^not ready: .*policy\.json: it is not JSON.*every mount is refused$/m);
  assert.match(readyz, /^not ready: .*access\.yaml is broken: line 1.*every mount is refused$/m);
  assert.equal(await errors(), 'oci_artifact_csi_configuration_errors 2');

  writeFileSync(file, 'default: deny');
  writeFileSync(signatures, policy);
  assert.match(await ask('/readyz'), ready);
  await sleep(1_100); // a scrape is kept for a second
  assert.equal(await errors(), 'oci_artifact_csi_configuration_errors 0');
  for (const line of [
    /access\.yaml is broken/g,
    /policy\.json: it is not JSON/g,
    /access\.yaml has changed/g,
  ]) {
    assert.equal(daemon.output().match(line)?.length, 1, `${line}`);
  }
});

test('a rule may select namespaces by labels, and refuses if the labels cannot be read', async () => {
  const api = own(await openKubeApiServer());
  api.object(namespacePath('shop'), { kind: 'Namespace', metadata: { labels: { models: 'yes' } } });
  api.object(namespacePath('other'), { kind: 'Namespace', metadata: { labels: { models: 'no' } } });
  api.answer(namespacePath('ill'), { kind: 'status', code: 500, message: 'etcd' });
  api.answer(namespacePath('kept'), { kind: 'status', code: 403, message: 'forbidden' });
  const policy = `
default: deny
rules:
  - name: users of models
    namespaceSelector: { matchLabels: { models: "yes" } }
    references: ["{host}/team/**"]
    action: allow
`;
  const world = await start(policy, {
    flags: { '--pod-pull-secrets': 'true' },
    env: { KUBECONFIG: api.kubeconfig },
  });
  const { daemon, registry } = world;
  const reference = `${registry.host}/team/model:v1`;

  const request = await publishRequest(daemon.node, { reference, ...inNamespace('shop') });
  const uid = request.volume_context?.['csi.storage.k8s.io/pod.uid'];
  api.object(pathOf('pods', 'shop', 'pod'), { kind: 'Pod', metadata: { uid }, spec: { containers: [] } });
  await daemon.csi.NodePublishVolume(request);
  assert.equal(readFileSync(join(request.target_path, 'weights'), 'utf8'), 'team/model');

  registry.reset();
  await assert.rejects(publish(world, 'other', reference), /PERMISSION_DENIED.*, its default \(line 2\)/);
  const rule = 'which its rule "users of models" \\(line 4\\) asks for: ';
  await assert.rejects(publish(world, 'ill', reference), new RegExp(`UNAVAILABLE.*${rule}.*500 \\(etcd\\)`));
  await assert.rejects(
    publish(world, 'kept', reference),
    new RegExp(`PERMISSION_DENIED.*${rule}.*resources: \\[namespaces\\], verbs: \\[get\\]`),
  );
  await assert.rejects(publish(world, 'gone', reference), /PERMISSION_DENIED.*has no namespace gone/);
  assert.deepEqual(registry.asked, []);
});

test('a namespace counts only with the uid of the target path', async () => {
  const { daemon, registry } = await start('default: allow');
  const request = await publishRequest(daemon.node, { reference: `${registry.host}/team/model:v1` });
  const { 'csi.storage.k8s.io/pod.uid': _, ...forged } = request.volume_context ?? {};
  await assert.rejects(
    daemon.csi.NodePublishVolume({ ...request, volume_context: forged }),
    /PERMISSION_DENIED.*set podInfoOnMount: true in the CSIDriver object/,
  );
  const elsewhere = { ...request, target_path: join(daemon.node.kubeletDir, 'elsewhere') };
  await assert.rejects(
    daemon.csi.NodePublishVolume(elsewhere),
    /PERMISSION_DENIED.*the target path must be …\/pods\/UID\//,
  );
});

test('an administrator may pull what no pod may have', async () => {
  const { daemon, registry } = await start('default: deny');
  const reference = `${registry.host}/team/model:v1`;
  await daemon.artifacts.Resolve({ reference });
  await new Promise<void>((resolve, reject) => {
    const call = daemon.streams.Pull({ reference });
    call.on('data', () => undefined);
    call.on('end', resolve);
    call.on('error', reject);
  });
});
