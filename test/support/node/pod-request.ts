import type { PublishRequest } from '../../../src/ports/request.ts';

/** What kubelet asks for an inline volume, after the edge has read it. */
export const podRequest: PublishRequest = {
  volumeId: 'csi-1',
  targetPath: '/kubelet/pods/u/volumes/kubernetes.io~csi/v/mount',
  anywhere: false,
  mountFlags: [],
  fingerprint: 'f',
  reference: 'model',
  selection: { unpack: 'auto', include: [], exclude: [] },
  secrets: {},
  caller: 'pod',
};
