import type { NodePublishVolumeRequest__Output as Wire } from '../../../src/grpc/wire/csi/v1/NodePublishVolumeRequest.ts';

/** The NodePublishVolume request of kubelet, as it arrives at the edge. */

export const uid = '0b4f9a3e-1111-4222-8333-444455556666';
export const targetPath: string = `/var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~csi/model/mount`;
export const reference = 'registry.test/org/model:v1';

export const pod: Readonly<Record<string, string>> = {
  'csi.storage.k8s.io/pod.name': 'web-0',
  'csi.storage.k8s.io/pod.namespace': 'shop',
  'csi.storage.k8s.io/pod.uid': uid,
};

export function toWire(changes: Partial<Wire> = {}): Wire {
  return {
    volume_id: 'csi-1',
    publish_context: {},
    staging_target_path: '',
    target_path: targetPath,
    volume_capability: capability([]),
    readonly: true,
    secrets: {},
    volume_context: { reference },
    ...changes,
  };
}

export function capability(
  mount_flags: string[],
  mode: 'SINGLE_NODE_WRITER' | 'MULTI_NODE_READER_ONLY' = 'SINGLE_NODE_WRITER',
): Wire['volume_capability'] {
  return {
    mount: { fs_type: '', mount_flags, volume_mount_group: '' },
    access_mode: { mode },
    access_type: 'mount',
  };
}

export function attribute(key: string, value: string): Partial<Wire> {
  return { volume_context: { reference, [key]: value } };
}
