import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from '../os/temporary.ts';
import { type DriverOptions, driverNamespace, driverObjects } from './driver.ts';
import { makeImages } from './image.ts';
import { type Kubectl, openKubectl } from './kubectl.ts';
import { type Machine, openMachine, type Service } from './machine.ts';
import { makePki } from './pki.ts';
import { push, setRate, startRegistries } from './registries.ts';
import { bootScript, makeRoot, nodeAddress } from './root.ts';
import { pauseImage, startKubelet, startServices, writeConfiguration } from './services.ts';

/** A Kubernetes of one node, with registries, in namespaces of its own. Disposing it leaves nothing behind. */
export type Cluster = AsyncDisposable &
  Kubectl & {
    /** Runs a program on the node. @throws with its standard error. */
    readonly run: Machine['run'];
    /** The root directory of the node, as this process sees it. */
    readonly root: string;
    /** Pushes files to one of the registries; returns the reference. */
    readonly push: (
      reference: string,
      files: Readonly<Record<string, string | Uint8Array>>,
    ) => Promise<string>;
    /** The rate of the slow registry, in bytes per second. */
    readonly setRate: (bytesPerSecond: number) => Promise<void>;
    /** Ends the registries. */
    readonly stopRegistries: () => Promise<void>;
    /** Installs the driver, or changes its installation, and waits until it is ready. */
    readonly installDriver: (options?: DriverOptions) => Promise<void>;
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
    /** The metrics of kubelet. */
    readonly kubeletMetrics: () => Promise<string>;
  };

const driver = 'daemonset/oci-artifact-csi';
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
  mkdirSync(join(root, 'images'));
  const images = makeImages(join(root, 'images'), pauseImage).map(path => path.slice(root.length));

  let machine: Machine;
  let kubelet: Service;
  let registries: readonly Service[] = [];
  async function boot(imported: readonly string[], withRegistries = true): Promise<void> {
    machine = await openMachine(root, bootScript(root));
    try {
      const [started, ready] = await Promise.all([
        withRegistries ? startRegistries(machine, root) : [],
        startServices(machine, imported),
      ]);
      registries = started;
      kubelet = ready;
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw new Error(`the cluster did not start:\n${lastLines(root)}`, { cause: error });
    }
  }
  await boot(images);
  stack.defer(() => machine[Symbol.asyncDispose]());

  const client = openKubectl(() => machine);
  const resources = stack.move();
  return {
    ...client,
    root,
    run: (program, args, input) => machine.run(program, args, input),
    push: (reference, files) => push(machine, root, reference, files),
    setRate: rate => setRate(machine, rate),
    async stopRegistries() {
      await Promise.all(registries.map(service => service.stop('SIGKILL')));
    },
    async installDriver(options) {
      await client.apply(...driverObjects(options));
      const rollout = ['rollout', 'status', driver, '--timeout=90s'];
      await client.kubectl('-n', driverNamespace, ...rollout);
    },
    stopKubelet: () => kubelet.stop(),
    async startKubelet(configuration) {
      await writeConfiguration(root, configuration);
      kubelet = await startKubelet(machine);
    },
    cutPower: async () => machine[Symbol.asyncDispose](),
    bootAgain: async withRegistries => boot([], withRegistries),
    driverLog: () => client.kubectl('-n', driverNamespace, 'logs', driver),
    command: (...args) =>
      client.kubectl('-n', driverNamespace, 'exec', driver, '--', 'node', '/app/dist/main.js', ...args),
    kubeletMetrics: () => machine.run('curl', [...asAdmin, `https://${nodeAddress}:10250/metrics`]),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
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
