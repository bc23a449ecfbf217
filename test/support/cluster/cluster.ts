import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from '../os/temporary.ts';
import {
  buildDriver,
  configureDriver,
  driverNamespace,
  driverSet,
  installDriver,
  pushDriver,
} from './driver.ts';
import { makeImages } from './image.ts';
import { type Kubectl, openKubectl } from './kubectl.ts';
import { type Machine, openMachine, type Service } from './machine.ts';
import { makePki } from './pki.ts';
import { push, pushImage, sentSlowly, setRate, startRegistries } from './registries.ts';
import { bootScript, makeRoot, nodeAddress } from './root.ts';
import { pauseImage, startKubelet, startServices, writeConfiguration } from './services.ts';

/** A Kubernetes of one node, with registries, in namespaces of its own. Disposing it leaves nothing behind. */
export type Cluster = AsyncDisposable &
  Kubectl & {
    /** Runs a program on the node. @throws with its standard error. */
    readonly run: Machine['run'];
    /** Starts a program on the node, in the background. */
    readonly start: Machine['start'];
    /** The root directory of the node, and that of its cgroups, as this process sees them. */
    readonly root: string;
    readonly cgroup: string;
    /** Pushes files to one of the registries; returns the reference. */
    readonly push: (
      reference: string,
      files: Readonly<Record<string, string | Uint8Array>>,
    ) => Promise<string>;
    /** Pushes an image of tars; returns the reference. */
    readonly pushImage: (reference: string, tars: readonly Buffer[]) => Promise<string>;
    /** The rate of the slow registry, in bytes per second. */
    readonly setRate: (bytesPerSecond: number) => Promise<void>;
    /** The bytes of large blobs that it has sent. */
    readonly sentSlowly: () => Promise<number>;
    /** Installs the driver by its chart, or changes these values, and waits until it is ready. */
    readonly installDriver: (values?: object) => Promise<void>;
    /** As installDriver, without waiting. */
    readonly configureDriver: (values: object) => Promise<void>;
    /** Ends kubelet. */
    readonly stopKubelet: () => Promise<void>;
    /** Starts kubelet, with these changes of its configuration. */
    readonly startKubelet: (configuration?: object) => Promise<void>;
    /** Ends every process and mount at once, as when the power fails. */
    readonly cutPower: () => Promise<void>;
    /** Boots the node again from its disk, with or without the registries. */
    readonly bootAgain: (registries?: boolean) => Promise<void>;
    /** The lines that the driver logged, of the pod that runs. */
    readonly driverLog: () => Promise<string>;
    /** Runs a command of the driver in its pod, as `kubectl exec` does; returns its output. */
    readonly command: (...args: readonly string[]) => Promise<string>;
    /** What kubelet answers to a GET of a path, such as `metrics`. */
    readonly askKubelet: (path: string) => Promise<string>;
  };

type Node = { readonly machine: Machine; readonly kubelet: Service };

const asAdmin = ['--silent', '--fail', '--cacert', '/etc/kubernetes/ca.crt'].concat([
  '--cert',
  '/etc/kubernetes/admin.crt',
  '--key',
  '/etc/kubernetes/admin.key',
]);

/** Starts a cluster from nothing, which takes half a minute. It has no driver yet. */
export async function openCluster(): Promise<Cluster> {
  await using stack = new AsyncDisposableStack();
  const root = join(stack.use(await temporaryDirectory()).path, 'root');
  await makeRoot(root);
  await makePki(join(root, 'etc/kubernetes'), '/etc/kubernetes');
  await writeConfiguration(root);
  const images = makeImages(join(root, 'images'), pauseImage).map(path => path.slice(root.length));
  await buildDriver(root);
  let node = await boot(root, images);
  stack.defer(() => node.machine[Symbol.asyncDispose]());
  await pushDriver(node.machine, root);

  const client = openKubectl(() => node.machine);
  const resources = stack.move();
  return {
    ...client,
    root,
    get cgroup() {
      return node.machine.cgroup;
    },
    run: (program, args, input) => node.machine.run(program, args, input),
    start: (name, program, args) => node.machine.start(name, program, args),
    push: (reference, files) => push(node.machine, root, reference, files),
    pushImage: (reference, tars) => pushImage(node.machine, root, reference, tars),
    setRate: rate => setRate(node.machine, rate),
    sentSlowly: () => sentSlowly(node.machine),
    installDriver: values => installDriver(node.machine, values),
    configureDriver: values => configureDriver(node.machine, values),
    stopKubelet: () => node.kubelet.stop(),
    async startKubelet(configuration) {
      await writeConfiguration(root, configuration);
      node = { ...node, kubelet: await startKubelet(node.machine) };
    },
    cutPower: async () => node.machine[Symbol.asyncDispose](),
    async bootAgain(withRegistries) {
      node = await boot(root, [], withRegistries);
    },
    driverLog: () => client.kubectl('-n', driverNamespace, 'logs', driverSet),
    command: (...args) =>
      client.kubectl('-n', driverNamespace, 'exec', driverSet, '--', 'oci-artifact-csi', ...args),
    askKubelet: path => node.machine.run('curl', [...asAdmin, `https://${nodeAddress}:10250/${path}`]),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** Starts a machine from its disk, and what runs on it. */
async function boot(root: string, images: readonly string[], withRegistries = true): Promise<Node> {
  const machine = await openMachine(root, bootScript(root));
  try {
    const registries = withRegistries ? startRegistries(machine, root) : undefined;
    const [kubelet] = await Promise.all([startServices(machine, images), registries]);
    return { machine, kubelet };
  } catch (error) {
    await machine[Symbol.asyncDispose]();
    throw new Error(`the cluster did not start:\n${lastLines(root)}`, { cause: error });
  }
}

/** The end of each log, for whoever looks for the reason. */
function lastLines(root: string): string {
  const names = [
    'etcd',
    'kube-apiserver',
    'containerd',
    'kube-controller-manager',
    'kube-scheduler',
    'kubelet',
  ];
  return names.map(name => `${name}: ${tail(join(root, 'var/log', `${name}.log`))}`).join('\n');
}

function tail(path: string): string {
  try {
    return readFileSync(path, 'utf8').split('\n').slice(-5).join('\n');
  } catch {
    return 'not started';
  }
}
