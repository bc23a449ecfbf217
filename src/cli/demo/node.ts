import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseMountinfo } from '../../mount/mountinfo.ts';
import { openMounts } from '../../mount/mounts.ts';
import { ArtifactError } from '../../util/error.ts';
import { flags } from '../flags.ts';
import { openLink } from './link.ts';
import { type DemoRegistry, openDemoRegistry, toHandler } from './registry.ts';

/** A volume as kubelet names it. */
export type DemoVolume = { readonly id: string; readonly pod: string; readonly target: string };

/**
 * A node for the duration of the demo: a temporary directory, and a registry on loopback. Disposing it removes
 * everything.
 */
export type DemoNode = AsyncDisposable & {
  readonly path: string;
  /** The short name of the model, which the node's registries.conf completes, and its repository. */
  readonly reference: string;
  readonly repository: string;
  readonly socket: string;
  readonly log: string;
  readonly registry: DemoRegistry;
  /** host:port of the registry. */
  readonly host: string;
  /** Requests that the registry has received. */
  requests(): number;
  /** Bytes of blobs and manifests that it has sent. */
  sent(): number;
  /** Flags of `serve`. */
  readonly flags: Readonly<Record<string, string>>;
  /** Creates the directories that kubelet creates for a pod. */
  addVolume(pod: string): Promise<DemoVolume>;
  /** Number of mounts of the demo. */
  mounts(): Promise<number>;
};

/** @param bytesPerSecond the rate of the registry. */
export async function openNode(
  model: string,
  bytesPerSecond: number = Number.POSITIVE_INFINITY,
): Promise<DemoNode> {
  await using stack = new AsyncDisposableStack();
  // Short: images cannot be mounted below a long path.
  const path = await realpath(await mkdtemp(join(tmpdir(), 'oci-demo-')));
  const [kubeletDir, stateDir] = [join(path, 'kubelet'), join(path, 'state')];
  const repository = `models/${model}`;
  const mounts = async (): Promise<number> =>
    parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8')).filter(({ mountPoint }) =>
      mountPoint.startsWith(`${path}/`),
    ).length;
  stack.defer(async () => {
    const left = await mounts();
    if (left > 0) throw new ArtifactError('internal', `${left} mounts are left below ${path}; unmount them`);
    await rm(path, { recursive: true });
  });
  const registryDirectory = join(path, 'registry');
  await Promise.all([kubeletDir, registryDirectory, join(path, 'conf.d')].map(directory => mkdir(directory)));
  const registry = openDemoRegistry(registryDirectory);
  const link = openLink(bytesPerSecond);
  let requests = 0;
  const server = createServer(
    toHandler(async request => {
      requests++;
      return link.send(await registry.answer(request));
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
  await writeFile(conf, formatRegistriesConf(host, model));
  const volumes: DemoVolume[] = [];
  const { mounter, images } = stack.use(
    openMounts({
      kubeletDir,
      stateDir,
      driverName: flags.driverName.preset,
      selinuxLabel: flags.selinuxLabel.preset,
    }),
  );
  // A daemon that ends leaves its mounts.
  stack.defer(async () => {
    for (const { target } of volumes) await mounter.unmount({ path: target, anywhere: false });
    images.tidy();
  });
  const whole = stack.move();
  return {
    path,
    reference: `${model}:1.0`,
    repository,
    socket,
    log: join(path, 'daemon.log'),
    registry,
    host,
    requests: () => requests,
    sent: link.sent,
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

function formatRegistriesConf(host: string, model: string): string {
  return `[[registry]]
location = "${host}"
insecure = true

[aliases]
"${model}" = "${host}/models/${model}"
`;
}
