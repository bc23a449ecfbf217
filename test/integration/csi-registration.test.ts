import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { credentials } from '@grpc/grpc-js';
import { loadDefinitions } from '../../src/grpc/edge/definitions.ts';
import {
  type RegistrationOptions,
  registrationPath,
  serveRegistration,
} from '../../src/grpc/registration.ts';
import type { RegistrationClient } from '../../src/grpc/wire/pluginregistration/Registration.ts';
import type { ArtifactError } from '../../src/util/error.ts';
import { waitUntil } from '../support/node/child.ts';
import { answerOf, captureLog } from '../support/node/csi-edge.ts';
import { testNode } from '../support/node/daemon.ts';
import {
  driverName,
  makePluginDirectory,
  startRegistering,
  startStandby,
} from '../support/node/registering.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/os/temporary.ts';

async function kubelet(): Promise<
  TemporaryDirectory & { readonly options: RegistrationOptions; readonly refused: ArtifactError[] }
> {
  const directory = await temporaryDirectory();
  const refused: ArtifactError[] = [];
  await mkdir(dirname(registrationPath(directory.path, driverName)));
  const options: RegistrationOptions = {
    kubeletDir: directory.path,
    driverName,
    endpoint: `${directory.path}/plugins/${driverName}/csi.sock`,
    log: captureLog().log,
    observe: () => {},
    inherited: false,
    noteRegistered: () => {},
    onRefused: error => refused.push(error),
  };
  return { ...directory, options, refused };
}

function connect(kubeletDir: string): RegistrationClient & Disposable {
  const { Registration } = loadDefinitions().pluginregistration;
  const client = new Registration(
    `unix:${registrationPath(kubeletDir, driverName)}`,
    credentials.createInsecure(),
  );
  return Object.assign(client, { [Symbol.dispose]: () => client.close() });
}

test('kubelet learns the type, name, endpoint and version of the driver within its second', async () => {
  await using there = await kubelet();
  await using _serving = await serveRegistration(there.options);
  using client = connect(there.path);
  const info = await answerOf(done => client.GetInfo({}, { deadline: Date.now() + 1000 }, done));
  assert.deepEqual(info, {
    type: 'CSIPlugin',
    name: driverName,
    endpoint: there.options.endpoint,
    supported_versions: ['1.0.0'],
  });
});

test('a successful registration does not end the daemon; a refused one reports the reason', async () => {
  await using there = await kubelet();
  await using _serving = await serveRegistration(there.options);
  using client = connect(there.path);
  await answerOf(done => client.NotifyRegistrationStatus({ plugin_registered: true }, done));
  assert.equal(there.refused.length, 0);
  const status = { plugin_registered: false, error: 'no CSIDriver object' };
  await answerOf(done => client.NotifyRegistrationStatus(status, done));
  assert.match(
    there.refused[0]?.message ?? '',
    /refused to register .*: no CSIDriver object; its log says more/,
  );
});

test('a daemon that kubelet refuses logs why, exits 1 and leaves neither socket', async () => {
  await using node = await testNode();
  const path = await makePluginDirectory(node);
  await using daemon = await startRegistering(node);
  assert.equal(existsSync(node.socket), true);
  using client = connect(node.kubeletDir);
  const status = { plugin_registered: false, error: 'no CSIDriver object' };
  await answerOf(done => client.NotifyRegistrationStatus(status, done));
  const reason = /refused to register .*: no CSIDriver object; its log says more/;
  await waitUntil(daemon, () => reason.test(daemon.output()), 'refused');
  await waitUntil(daemon, () => !daemon.alive(), 'ended');
  assert.equal(await daemon.end('SIGKILL'), 1, daemon.output()); // it has ended: no signal is sent
  assert.equal(existsSync(node.socket), false);
  assert.deepEqual(await readdir(dirname(path)), []);
});

test('a standby registers anew where kubelet took the registration back', async () => {
  await using node = await testNode();
  await makePluginDirectory(node);
  await using first = await startRegistering(node);
  using client = connect(node.kubeletDir);
  await answerOf(done => client.NotifyRegistrationStatus({ plugin_registered: true }, done));
  await using second = await startStandby(node);
  const status = { plugin_registered: false, error: 'error updating CSINode' };
  await answerOf(done => client.NotifyRegistrationStatus(status, done));
  await waitUntil(first, () => !first.alive(), 'ended');
  await waitUntil(second, () => second.output().includes('waiting for kubelet to register'), 'registering');
  assert.equal((await second.artifacts.GetStatus({})).registration, 'WAITING');
});

test('a stop deregisters by removing the socket', async () => {
  await using there = await kubelet();
  const serving = await serveRegistration(there.options);
  const path = registrationPath(there.path, driverName);
  assert.equal(existsSync(path), true);
  await serving.stop();
  await serving.stop();
  assert.deepEqual(await readdir(dirname(path)), []);
});

test('a successor keeps its socket when its predecessor stops', async () => {
  await using there = await kubelet();
  const predecessor = await serveRegistration(there.options);
  await using _successor = await serveRegistration({ ...there.options, endpoint: '/successor.sock' });
  await predecessor.stop();
  using client = connect(there.path);
  const info = await answerOf<{ endpoint: string }>(done => client.GetInfo({}, done));
  assert.equal(info.endpoint, '/successor.sock');
});

test('the error for a missing or too long kubelet directory names it', async () => {
  await using there = await kubelet();
  const elsewhere = { ...there.options, kubeletDir: `${there.path}/nowhere` };
  await assert.rejects(serveRegistration(elsewhere), {
    code: 'invalid',
    message:
      /there is no .*nowhere\/plugins_registry to register in; start kubelet, or correct --kubelet-dir$/,
  });
  const deep = { ...there.options, kubeletDir: `${there.path}/${'k'.repeat(70)}` };
  await mkdir(`${deep.kubeletDir}/plugins_registry`, { recursive: true });
  await assert.rejects(serveRegistration(deep), { code: 'invalid', message: /-reg\.sock has 1\d\d bytes/ });
});
