import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { registrationPath } from '../../../src/grpc/registration.ts';
import { waitUntil } from './child.ts';
import { spawnDaemon, startDaemon, type TestDaemon, type TestNode } from './daemon.ts';

/** The driver of daemons that register with kubelet. */
export const driverName = 'oci-artifact.csi.test';

export const registeringFlags: Readonly<Record<string, string>> = {
  '--register': 'true',
  '--driver-name': driverName,
};

/** Makes the directory where kubelet finds plugins, and returns the path of the driver there. */
export async function makePluginDirectory({ kubeletDir }: Pick<TestNode, 'kubeletDir'>): Promise<string> {
  const path = registrationPath(kubeletDir, driverName);
  await mkdir(dirname(path));
  return path;
}

/** Starts a daemon, and waits until it waits for kubelet. */
export async function startRegistering(node: TestNode): Promise<TestDaemon> {
  const daemon = await startDaemon(node, { flags: registeringFlags });
  await waitUntil(daemon, () => daemon.output().includes('waiting for kubelet to register'), 'registering');
  return daemon;
}

/** Starts another daemon of the node, and waits until it is a standby. */
export async function startStandby(
  node: TestNode,
  more: Readonly<Record<string, string>> = {},
): Promise<TestDaemon> {
  const daemon = await spawnDaemon(node, { flags: { ...registeringFlags, ...more } });
  await waitUntil(daemon, () => daemon.output().includes('standby: waits for '), 'a standby');
  return daemon;
}
