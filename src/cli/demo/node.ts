import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { openMounter } from '../../mount/mounter.ts';
import { ArtifactError } from '../../util/error.ts';
import { type DemoRegistry, openDemoRegistry, toHandler } from './registry.ts';

/** The short name that the node's registries.conf completes. */
export const shortName = 'tiny-model:1.0';

export const repository = 'models/tiny-model';

/** A volume as kubelet names it. */
export type DemoVolume = { readonly id: string; readonly pod: string; readonly target: string };

/**
 * A node for the duration of the demo: a temporary directory, and a registry on loopback. Disposing it removes
 * everything.
 */
export type DemoNode = AsyncDisposable & {
  readonly path: string;
  readonly socket: string;
  readonly log: string;
  readonly registry: DemoRegistry;
  /** host:port of the registry. */
  readonly host: string;
  /** Requests that the registry has received. */
  requests(): number;
  /** Flags of `serve`. */
  readonly flags: Readonly<Record<string, string>>;
  /** Creates the directories that kubelet creates for a pod. */
  addVolume(pod: string): Promise<DemoVolume>;
  /** Number of mounts of the demo. */
  mounts(): Promise<number>;
};

export async function openNode(): Promise<DemoNode> {
  await using stack = new AsyncDisposableStack();
  const path = await mkdtemp(join(tmpdir(), 'oci-artifact-csi-demo-'));
  const [kubeletDir, stateDir] = [join(path, 'kubelet'), join(path, 'state')];
  const mounter = openMounter({ kubeletDir });
  const mounts = async (): Promise<number> => (await mounter.list(join(stateDir, 'views'))).length;
  stack.defer(async () => {
    const left = await mounts();
    mounter[Symbol.dispose]();
    if (left > 0) throw new ArtifactError('internal', `${left} mounts are left below ${path}; unmount them`);
    await rm(path, { recursive: true });
  });
  const registryDirectory = join(path, 'registry');
  await Promise.all([kubeletDir, registryDirectory, join(path, 'conf.d')].map(directory => mkdir(directory)));
  const registry = openDemoRegistry(registryDirectory);
  let requests = 0;
  const server = createServer(
    toHandler(request => {
      requests++;
      return registry.answer(request);
    }),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stack.defer(async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const socket = join(path, 'csi.sock');
  const conf = join(path, 'registries.conf');
  await writeFile(conf, formatRegistriesConf(host));
  const volumes: DemoVolume[] = [];
  // A killed daemon leaves its mounts.
  stack.defer(async () => {
    for (const { target } of volumes) await mounter.unmount({ path: target, anywhere: false });
  });
  const whole = stack.move();
  return {
    path,
    socket,
    log: join(path, 'daemon.log'),
    registry,
    host,
    requests: () => requests,
    flags: {
      '--endpoint': `unix://${socket}`,
      '--state-dir': stateDir,
      '--kubelet-dir': kubeletDir,
      '--registries-conf': conf,
      '--registries-conf-dir': join(path, 'conf.d'),
      '--http-listen': '',
      '--page-listen': '',
      // How full the disk is does not matter for the demo.
      '--disk-max': '100',
      '--cache-high': '100',
      '--cache-low': '100',
    },
    async addVolume(pod) {
      const target = join(kubeletDir, `pods/${randomUUID()}/volumes/kubernetes.io~csi/model/mount`);
      await mkdir(dirname(target), { recursive: true });
      const volume = { id: `csi-${randomUUID()}`, pod, target };
      volumes.push(volume);
      return volume;
    },
    mounts,
    [Symbol.asyncDispose]: () => whole.disposeAsync(),
  };
}

function formatRegistriesConf(host: string): string {
  return `[[registry]]
location = "${host}"
insecure = true

[aliases]
"${shortName.split(':')[0]}" = "${host}/${repository}"
`;
}
