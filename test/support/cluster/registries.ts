import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { toolPath } from '../project/tools.ts';
import { writeImage } from './image.ts';
import { waitFor } from './kubectl.ts';
import type { Machine } from './machine.ts';
import { nodeAddress } from './root.ts';

/** Registries on the node's address, which pods and the node call registry.test. */
export const hosts = {
  open: 'registry.test:5000',
  /** Asks for the user `alice` with this password. */
  private: 'registry.test:5001',
  /** The open one, whose large blobs come at a rate. */
  slow: 'registry.test:5002',
} as const;
export const alice = { username: 'alice', password: 'S3CRET-of-alice' } as const;

const slowFront = fileURLToPath(new URL('slow-front.ts', import.meta.url));

/** Starts the registries, whose content lies on the machine's disk. */
export async function startRegistries(machine: Machine, root: string): Promise<void> {
  const directory = join(root, 'var/lib/registries');
  await mkdir(directory, { recursive: true });
  const htpasswd = 'alice:$2y$05$abcdefghijklmnopqrstuuO0AnIs.fiqLTVFPMiNR344RFlenQUaC\n';
  await writeFile(join(directory, 'htpasswd'), htpasswd);
  for (const [port, auth] of [
    [5000, undefined],
    [5001, { htpasswd: { realm: 'test', path: '/var/lib/registries/htpasswd' } }],
  ] as const) {
    const config = {
      version: 0.1,
      log: { level: 'error', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: `/var/lib/registries/${port}` }, delete: { enabled: true } },
      http: { addr: `${nodeAddress}:${port}` },
      ...(auth && { auth }),
    };
    await writeFile(join(directory, `${port}.json`), JSON.stringify(config)); // JSON is YAML
    const args = ['serve', `/var/lib/registries/${port}.json`];
    await machine.start(`registry-${port}`, toolPath('registry'), args);
  }
  const front = [slowFront, nodeAddress, '5002', '5000'];
  await machine.start('slow-front', process.execPath, front);
  for (const host of Object.values(hosts))
    await waitFor(`${host} listens`, () => answers(machine, `http://${host}/v2/`));
}

/** Any response is enough: that of a private registry is 401. */
async function answers(machine: Machine, url: string): Promise<boolean> {
  try {
    await machine.run('curl', ['--silent', '--show-error', '--output', '/dev/null', url]);
    return true;
  } catch {
    return false;
  }
}

export async function setRate(machine: Machine, bytesPerSecond: number): Promise<void> {
  await askSlowFront(machine, `rate/${bytesPerSecond}`);
}

/** The bytes of large blobs that the slow registry has sent. */
export async function sentSlowly(machine: Machine): Promise<number> {
  return Number(await askSlowFront(machine, 'sent'));
}

function askSlowFront(machine: Machine, path: string): Promise<string> {
  return machine.run('curl', ['--silent', '--fail', `http://${hosts.slow}/${path}`]);
}

/** Pushes an artifact of files; returns its reference. A directory of files is a layer that is unpacked. */
export async function push(
  machine: Machine,
  root: string,
  reference: string,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<string> {
  const work = `/tmp/${reference.replaceAll(/\W/g, '-')}`;
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(root, work, dirname(path)), { recursive: true });
    await writeFile(join(root, work, path), content);
  }
  const layers = [...new Set(Object.keys(files).map(path => path.split('/')[0] ?? ''))];
  const login = reference.startsWith(hosts.private) ? ['-u', alice.username, '-p', alice.password] : [];
  const command = ['oras', 'push', '--plain-http', '--no-tty', ...login, reference, ...layers];
  await machine.run('env', ['--chdir', join(work), ...command]);
  await machine.run('rm', ['-r', work]);
  return reference;
}

/** Pushes an image of tars; returns its reference. */
export async function pushImage(
  machine: Machine,
  root: string,
  reference: string,
  tars: readonly Buffer[],
): Promise<string> {
  const layout = `/tmp/${reference.replaceAll(/\W/g, '-')}`;
  await pushLayout(machine, layout, writeImage(join(root, layout), tars), reference);
  await machine.run('rm', ['-r', layout]);
  return reference;
}

/** Pushes what is in an OCI layout of the machine. */
export async function pushLayout(
  machine: Machine,
  layout: string,
  digest: string,
  reference: string,
): Promise<void> {
  const options = ['--from-oci-layout', '--to-plain-http', '--no-tty'];
  await machine.run('oras', ['cp', ...options, `${layout}@${digest}`, reference]);
}
