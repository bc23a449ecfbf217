import { driverImage } from './image.ts';

export const driverName = 'oci-artifact.csi.internal';
export const driverNamespace = 'oci-artifact-csi';

const name = 'oci-artifact-csi';
const labels = { app: name };
const rbac = 'rbac.authorization.k8s.io';

/** The file by which the daemon knows the registries of the machine. */
const registriesConf: string = `unqualified-search-registries = ["registry.test:5000"]
${[5000, 5001, 5002].map(port => `[[registry]]\nlocation = "registry.test:${port}"\ninsecure = true\n`).join('')}`;

function configMap(content: string = registriesConf): object {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'registries', namespace: driverNamespace },
    data: { 'registries.conf': content },
  };
}

/** What a test changes of the DaemonSet. */
export type DriverOptions = {
  readonly args?: readonly string[];
  readonly propagation?: 'Bidirectional' | 'HostToContainer' | 'None';
  readonly strategy?: object;
  /** A change of it makes a rollout. */
  readonly revision?: string;
};

/** The objects that install the driver, as a platform team does. */
export function driverObjects(options: DriverOptions = {}): readonly object[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: driverNamespace, labels: { 'pod-security.kubernetes.io/enforce': 'privileged' } },
    },
    {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'CSIDriver',
      metadata: {
        name: driverName,
        labels: { 'security.openshift.io/csi-ephemeral-volume-profile': 'restricted' },
      },
      spec: {
        attachRequired: false,
        podInfoOnMount: true,
        volumeLifecycleModes: ['Persistent', 'Ephemeral'],
        fsGroupPolicy: 'None',
        requiresRepublish: false,
        seLinuxMount: false,
      },
    },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: driverNamespace } },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRole',
      metadata: { name },
      rules: [{ apiGroups: [''], resources: ['pods', 'serviceaccounts', 'secrets'], verbs: ['get'] }],
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name },
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace: driverNamespace }],
    },
    configMap(),
    daemonSet(options),
  ];
}

function daemonSet({
  args = ['--pod-pull-secrets'],
  propagation = 'Bidirectional',
  strategy = { type: 'RollingUpdate' },
  revision = '1',
}: DriverOptions = {}): object {
  const kubelet = '/var/lib/kubelet';
  const probe = (path: string) => ({ httpGet: { path, port: 9809 }, periodSeconds: 1 });
  const hostPath = (path: string) => ({ hostPath: { path, type: 'DirectoryOrCreate' } });
  const container = {
    name: 'driver',
    image: driverImage,
    imagePullPolicy: 'IfNotPresent',
    // The disk of the machine is not the test's.
    args: ['serve', '--register', '--cache-high=100', '--cache-low=100', '--disk-max=100', ...args],
    env: [{ name: 'NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
    securityContext: { privileged: true, readOnlyRootFilesystem: true },
    livenessProbe: { ...probe('/healthz'), failureThreshold: 30 },
    readinessProbe: probe('/readyz'),
    volumeMounts: [
      { name: 'kubelet', mountPath: kubelet, mountPropagation: propagation },
      { name: 'socket', mountPath: '/csi' },
      { name: 'state', mountPath: '/var/lib/oci-artifact-csi' },
      { name: 'registries', mountPath: '/etc/containers' },
    ],
  };
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name, namespace: driverNamespace },
    spec: {
      selector: { matchLabels: labels },
      updateStrategy: strategy,
      template: {
        metadata: { labels, annotations: { revision } },
        spec: {
          serviceAccountName: name,
          hostAliases: [{ ip: '10.77.0.1', hostnames: ['registry.test'] }],
          priorityClassName: 'system-node-critical',
          tolerations: [{ operator: 'Exists' }],
          containers: [container],
          volumes: [
            { name: 'kubelet', ...hostPath(kubelet) },
            { name: 'socket', ...hostPath(`${kubelet}/plugins/${driverName}`) },
            { name: 'state', ...hostPath('/var/lib/oci-artifact-csi') },
            { name: 'registries', configMap: { name: 'registries' } },
          ],
        },
      },
    },
  };
}
