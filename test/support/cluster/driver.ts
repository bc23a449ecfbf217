import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { cp, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { packChart } from '../../tools/chart/archive.ts';
import { startBuildKit } from '../../tools/image/buildkit.ts';
import { readLayoutDigest } from '../../tools/image/layout.ts';
import { buildStandInImage } from '../image/stand-in-image.ts';
import { runProgram } from '../os/program.ts';
import type { Machine } from './machine.ts';
import { hosts, pushLayout } from './registries.ts';
import { nodeAddress } from './root.ts';

export const driverName = 'oci-artifact.csi.internal';
export const driverNamespace = 'oci-artifact-csi';
/** The DaemonSet, as kubectl names it. */
export const driverSet = 'daemonset/oci-artifact-csi';

const project = fileURLToPath(new URL('../../..', import.meta.url));
/** The repository of the image of the driver. */
export const repository: string = `${hosts.open}/oci-artifact-csi`;
/** The packed chart on the machine. */
export const chart = '/driver/chart.tgz';
const image = '/driver/image';

/** The file by which the driver knows the registries of the machine. */
export const registriesConf: string = `unqualified-search-registries = ["${hosts.open}"]
${Object.values(hosts)
  .map(host => `[[registry]]\nlocation = "${host}"\ninsecure = true\n`)
  .join('')}`;

const values = {
  registriesConf: { inline: registriesConf },
  podPullSecrets: true,
  hostAliases: [{ ip: nodeAddress, hostnames: ['registry.test'] }],
  // The disk of the machine is not the test's.
  cacheHigh: 100,
  cacheLow: 100,
  diskMax: 100,
};

/** Builds the image and packs the chart as a release does, into the root directory of a machine. */
export async function buildDriver(root: string): Promise<void> {
  const layout = await keptImage();
  await mkdir(join(root, 'driver'));
  await cp(layout, join(root, image), { recursive: true });
  const { bytes } = await packChart(project, { repository, digest: readLayoutDigest(layout) });
  await writeFile(join(root, chart), bytes);
}

/** The image of these sources as an OCI layout. It is built once, and kept in .tools until the sources change. */
async function keptImage(): Promise<string> {
  runProgram(process.execPath, join(project, 'test/tools/build.ts'));
  const hash = createHash('sha256');
  const parts = ['dist/**/*', 'Dockerfile', 'package-lock.json', 'test/{tools,support}/image/*.ts'];
  for (const path of globSync(parts, { cwd: project }).toSorted())
    if (statSync(join(project, path)).isFile()) hash.update(path).update(readFileSync(join(project, path)));
  const kept = join(project, '.tools/cluster');
  const layout = join(kept, hash.digest('hex'));
  if (existsSync(layout)) return layout;
  await mkdir(kept, { recursive: true });
  // A name with a dot is being built by another run.
  for (const old of (await readdir(kept)).filter(name => !name.includes('.')))
    await rm(join(kept, old), { recursive: true });
  const built = `${layout}.${process.pid}`;
  await using kit = await startBuildKit();
  await buildStandInImage(kit, [process.arch === 'x64' ? 'amd64' : 'arm64'], built);
  await rename(built, layout).catch(() => rm(built, { recursive: true })); // another run was sooner
  return layout;
}

/** Pushes the image to the registry of the machine. */
export async function pushDriver(machine: Machine, root: string): Promise<void> {
  await pushLayout(machine, image, readLayoutDigest(join(root, image)), `${repository}:1`);
}

/** Installs the driver by its chart, or changes these values of its installation. */
export async function configureDriver(machine: Machine, changed: object = {}): Promise<void> {
  const namespace = ['--namespace', driverNamespace, '--create-namespace'];
  const release = ['upgrade', '--install', 'oci-artifact-csi', chart, ...namespace, '--values=-'];
  await machine.run('helm', release, JSON.stringify({ ...values, ...changed }));
}

/** As configureDriver, and waits until the driver is ready. */
export async function installDriver(machine: Machine, changed?: object): Promise<void> {
  await configureDriver(machine, changed);
  await machine.run('kubectl', ['-n', driverNamespace, 'rollout', 'status', driverSet, '--timeout=90s']);
}
