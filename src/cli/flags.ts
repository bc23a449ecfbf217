import { hostname } from 'node:os';
import { contentFlags } from './content-flags.ts';
import { type Flags, offByDefault } from './flag.ts';
import { shareFlags } from './share-flags.ts';
import { sourceFlags } from './source-flags.ts';
import {
  oneOf,
  optional,
  parseAddress,
  parseDriverName,
  parseEndpoint,
  parseLoopback,
  parseNodeId,
  parsePath,
  parseText,
} from './values.ts';

/** Every flag of `serve`, in the order of its help. */
export const flags: Flags = {
  endpoint: {
    value: 'URL',
    says: 'CSI socket of the daemon',
    preset: 'unix:///csi/csi.sock',
    parse: parseEndpoint,
    variable: 'CSI_ENDPOINT',
  },
  driverName: {
    value: 'NAME',
    says: 'name of the CSI driver',
    preset: 'oci-artifact.csi.internal',
    parse: parseDriverName,
  },
  nodeId: {
    value: 'NAME',
    says: 'name of this node in Kubernetes',
    preset: hostname(),
    parse: parseNodeId,
    variable: 'NODE_NAME',
  },
  stateDir: {
    value: 'DIR',
    says: 'directory of the cache and of the records of volumes',
    preset: '/var/lib/oci-artifact-csi',
    parse: parsePath,
  },
  selinuxLabel: {
    value: 'LABEL',
    says: 'SELinux label of a new state directory',
    preset: 'system_u:object_r:container_file_t:s0',
    parse: parseText,
  },
  kubeletDir: {
    value: 'DIR',
    says: "kubelet's root directory",
    preset: '/var/lib/kubelet',
    parse: parsePath,
  },
  register: offByDefault('register the driver with kubelet'),
  httpListen: {
    value: 'ADDRESS',
    says: '[HOST]:PORT of /healthz, /readyz and /metrics; empty: none',
    preset: ':9809',
    parse: optional(parseAddress),
  },
  pageListen: {
    value: 'ADDRESS',
    says: 'HOST:PORT of the status page, on loopback; empty: none',
    preset: '127.0.0.1:9810',
    parse: optional(parseLoopback),
  },
  ...shareFlags,
  ...sourceFlags,
  ...contentFlags,
  logLevel: {
    value: 'LEVEL',
    says: 'debug, info, warn, error or silent',
    preset: 'info',
    parse: oneOf('debug', 'info', 'warn', 'error', 'silent'),
  },
  logFormat: { value: 'FORMAT', says: 'json or text', preset: 'json', parse: oneOf('json', 'text') },
};
