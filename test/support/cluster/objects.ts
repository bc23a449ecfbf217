import { driverName } from './driver.ts';
import { busyboxImage } from './image.ts';

/** A volume of a pod, as in its spec, without the name. */
export type Volume = Readonly<Record<string, unknown>>;

/** An inline volume of the driver. */
export function artifact(reference: string, attributes: Readonly<Record<string, string>> = {}): Volume {
  return { csi: { driver: driverName, readOnly: true, volumeAttributes: { reference, ...attributes } } };
}

export function claimed(claim: string, readOnly = true): Volume {
  return { persistentVolumeClaim: { claimName: claim, readOnly } };
}

/** What of a pod a test chooses; the rest is a container `c` that sleeps, with each volume at /<its name>. */
export type PodOptions = {
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly volumes?: Readonly<Record<string, Volume>>;
  readonly spec?: object;
  readonly container?: object;
  /** More fields of each volume mount. */
  readonly mount?: object;
};

export function pod(name: string, options: PodOptions = {}): object {
  const { namespace = 'default', labels = {}, spec } = options;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels },
    spec: { ...podSpec(options), ...spec },
  };
}

export function podSpec({ volumes = {}, container, mount }: PodOptions): object {
  const names = Object.keys(volumes);
  return {
    terminationGracePeriodSeconds: 1, // with 0 the API forgets a pod before kubelet has ended it
    containers: [
      {
        name: 'c',
        image: busyboxImage,
        command: ['sleep', '100000'],
        volumeMounts: names.map(name => ({ name, mountPath: `/${name}`, ...mount })),
        ...container,
      },
    ],
    volumes: names.map(name => ({ name, ...volumes[name] })),
  };
}

/** A PersistentVolume of the driver, and a claim of the same name for it. `more` of its spec, and of `csi` in there. */
export function claim(
  name: string,
  reference: string,
  { csi: ofCsi, ...more }: { readonly csi?: object; readonly mountOptions?: readonly string[] } = {},
): readonly object[] {
  const common = { accessModes: ['ReadOnlyMany'], storageClassName: '' };
  const csi = { driver: driverName, volumeHandle: name, volumeAttributes: { reference }, ...ofCsi };
  return [
    {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name },
      spec: { ...common, capacity: { storage: '1Gi' }, csi, ...more },
    },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name, namespace: 'default' },
      spec: { ...common, volumeName: name, resources: { requests: { storage: '1Gi' } } },
    },
  ];
}

export function namespace(name: string, labels: Readonly<Record<string, string>> = {}): object {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

export function secret(name: string, data: Readonly<Record<string, string>>, type = 'Opaque'): object {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: 'default' },
    type,
    stringData: data,
  };
}
