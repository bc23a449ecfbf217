import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { type CallOptions, Client, credentials, type ServiceError } from '@grpc/grpc-js';
import { loadDefinitions } from '../../../src/grpc/edge/definitions.ts';
import type { IdentityDefinition } from '../../../src/grpc/wire/csi/v1/Identity.ts';
import type { NodeDefinition } from '../../../src/grpc/wire/csi/v1/Node.ts';
import type { NodePublishVolumeRequest } from '../../../src/grpc/wire/csi/v1/NodePublishVolumeRequest.ts';
import type {
  ArtifactsClient,
  ArtifactsDefinition,
} from '../../../src/grpc/wire/ociartifact/v1/Artifacts.ts';
import { daemonOptions } from '../../../src/util/node-options.ts';
import { unmountBelow } from '../os/mounts.ts';
import { ownAddress } from '../os/port.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../os/temporary.ts';
import { mountTmpfs } from '../os/tmpfs.ts';
import { type Calls, openCalls } from './calls.ts';
import { type Child, startChild, waitUntil } from './child.ts';
import { main } from './main.ts';

/** The directories of one node, which outlive a daemon. Disposing it removes every mount below it and all files. */
export type TestNode = TemporaryDirectory & {
  readonly kubeletDir: string;
  readonly stateDir: string;
  readonly socket: string;
  readonly registriesConf: string;
  /** An empty directory, so that the machine's own registries.conf.d is not read. */
  readonly registriesConfDir: string;
};

/** A running daemon in a process of its own. Disposing it kills it at once and leaves its mounts to the node. */
export type TestDaemon = Child & {
  readonly node: TestNode;
  readonly identity: Calls<IdentityDefinition>;
  readonly csi: Calls<NodeDefinition>;
  readonly artifacts: Calls<ArtifactsDefinition>;
  /** For streaming calls. */
  readonly streams: ArtifactsClient;
  /** `http://127.<x>.<y>.<z>:<port>` */
  readonly http: string;
};

export type DaemonOptions = {
  /** Additional flags: `{'--cache-max': '1GiB'}`. */
  readonly flags?: Readonly<Record<string, string>>;
  readonly env?: NodeJS.ProcessEnv;
  /** A program to run in place of that of the tests, with the options of its first line. */
  readonly program?: string;
  /** The words before its command, such as those that enter a namespace; it stays the same process. */
  readonly within?: readonly string[];
};

/**
 * `views`: `trees` for directories on a filesystem that cannot have the files of images; else images are made where the
 * kernel mounts them. `defaultViews` changes what applies to tests that do not say it.
 */
export type NodeOptions = { readonly views?: 'trees' | undefined };
export const defaultViews: { kind: NodeOptions['views'] } = { kind: undefined };

/**
 * Creates the directories of a node. Registries listed in `insecure` are reached by plain HTTP, and the first of them
 * is the search registry of short names.
 */
export async function testNode(
  insecure: readonly string[] = [],
  { views = defaultViews.kind }: NodeOptions = {},
): Promise<TestNode> {
  const directory = await temporaryDirectory();
  if (views === 'trees') mountTmpfs(directory.path, 'size=1g,mode=0755');
  const node = {
    ...directory,
    kubeletDir: join(directory.path, 'kubelet'),
    stateDir: join(directory.path, 'state'),
    socket: join(directory.path, 'csi.sock'),
    registriesConf: join(directory.path, 'registries.conf'),
    registriesConfDir: join(directory.path, 'registries.conf.d'),
  };
  await mkdir(join(node.kubeletDir, 'pods'), { recursive: true });
  await mkdir(node.registriesConfDir);
  const registries = insecure.map(host => `[[registry]]\nlocation = "${host}"\ninsecure = true\n`);
  const search = `unqualified-search-registries = ${JSON.stringify(insecure.slice(0, 1))}\n`;
  await writeFile(node.registriesConf, [search, ...registries].join('\n'));
  return node;
}

/** Starts `serve` in its own process and waits until Probe reports that it is ready. */
export async function startDaemon(node: TestNode, options: DaemonOptions = {}): Promise<TestDaemon> {
  const daemon = await spawnDaemon(node, options);
  try {
    await waitUntil(daemon, () => isReady(daemon), 'ready');
  } catch (error) {
    await daemon[Symbol.asyncDispose]();
    throw error;
  }
  return daemon;
}

/** Starts `serve` in its own process, and does not wait for it. */
export async function spawnDaemon(node: TestNode, options: DaemonOptions = {}): Promise<TestDaemon> {
  const httpAddress = `${ownAddress()}:20009`;
  const flags = {
    '--endpoint': `unix://${node.socket}`,
    '--state-dir': node.stateDir,
    '--kubelet-dir': node.kubeletDir,
    '--node-id': 'test-node',
    '--http-listen': httpAddress,
    '--page-listen': '',
    '--registries-conf': node.registriesConf,
    '--registries-conf-dir': node.registriesConfDir,
    '--disk-max': '100',
    '--cache-high': '100', // the disk of the machine is not the test's
    '--cache-low': '100',
    '--log-level': 'debug',
    ...options.flags,
  };
  const args = ['serve', ...Object.entries(flags).map(([name, value]) => `${name}=${value}`)];
  const env = { ...process.env, ...daemonOptions.variables, ...options.env };
  const command = options.program ? [options.program] : [process.execPath, ...daemonOptions.options, main];
  const [program = '', ...words] = [...(options.within ?? []), ...command, ...args];
  const child = await startChild(program, words, { env });
  const unmountAtExit = (): void => unmountBelow(node.kubeletDir);
  process.on('exit', unmountAtExit);

  const { csi, ociartifact } = loadDefinitions();
  const client = new Client(`unix:${node.socket}`, credentials.createInsecure(), {
    'grpc.initial_reconnect_backoff_ms': 20,
    'grpc.max_reconnect_backoff_ms': 50,
  });
  const streams = new ociartifact.v1.Artifacts(`unix:${node.socket}`, credentials.createInsecure());
  return {
    ...child,
    node,
    identity: openCalls(client, csi.v1.Identity.service),
    csi: callAgain(openCalls(client, csi.v1.Node.service)),
    artifacts: openCalls(client, ociartifact.v1.Artifacts.service),
    streams,
    http: `http://${httpAddress}`,
    [Symbol.asyncDispose]: async () => {
      client.close();
      streams.close();
      const isOurs = child.alive();
      await child[Symbol.asyncDispose]();
      if (isOurs) await rm(node.socket, { force: true });
      process.off('exit', unmountAtExit);
    },
  };
}

/** Publishes again, as kubelet does, when the first answer about a long pull came early. */
function callAgain(csi: Calls<NodeDefinition>): Calls<NodeDefinition> {
  const publish = async (request: NodePublishVolumeRequest, options?: CallOptions) => {
    const { deadline } = { deadline: Date.now() + 60_000, ...options };
    try {
      return await csi.NodePublishVolume(request, { ...options, deadline });
    } catch (thrown) {
      const isEarly = /the next call (?:joins it|asks again)$/.test((thrown as ServiceError).details);
      if (!isEarly || Number(deadline) - Date.now() < 20_000) throw thrown;
      // A call has its own time. A registry that does not answer is given up within 30 s of it.
      return csi.NodePublishVolume(request, { deadline: Date.now() + 60_000, ...options });
    }
  };
  return { ...csi, NodePublishVolume: publish };
}

async function isReady({ node, identity }: Pick<TestDaemon, 'node' | 'identity'>): Promise<boolean> {
  if (!existsSync(node.socket)) return false; // costs less than a call that fails
  try {
    const { ready } = await identity.Probe({}, { deadline: Date.now() + 1_000 });
    return ready === null || ready.value;
  } catch {
    return false; // not listening yet
  }
}

/**
 * The request of kubelet for an inline volume of a new pod, with the directories that kubelet creates. It has
 * `target_path`; attributes may include keys of Kubernetes.
 */
export async function publishRequest(
  node: TestNode,
  attributes: Readonly<Record<string, string>>,
  secrets: Readonly<Record<string, string>> = {},
): Promise<NodePublishVolumeRequest & { readonly volume_id: string; readonly target_path: string }> {
  const uid = randomUUID();
  const volume = join(node.kubeletDir, 'pods', uid, 'volumes', 'kubernetes.io~csi', 'artifact');
  await mkdir(volume, { recursive: true, mode: 0o750 });
  const id = `${uid}${uid}`.replaceAll('-', '');
  return {
    volume_id: `csi-${id}`,
    target_path: join(volume, 'mount'),
    volume_capability: { mount: { fs_type: '' }, access_mode: { mode: 'SINGLE_NODE_WRITER' } },
    readonly: true,
    secrets,
    volume_context: {
      'csi.storage.k8s.io/ephemeral': 'true',
      'csi.storage.k8s.io/pod.name': 'pod',
      'csi.storage.k8s.io/pod.namespace': 'default',
      'csi.storage.k8s.io/pod.uid': uid,
      'csi.storage.k8s.io/serviceAccount.name': 'default',
      ...attributes,
    },
  };
}
