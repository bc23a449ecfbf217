import { credentials } from '@grpc/grpc-js';
import type { CsiNode } from '../../ports/backend.ts';
import { loadDefinitions } from '../edge/definitions.ts';
import type { NodeGetVolumeStatsResponse__Output } from '../wire/csi/v1/NodeGetVolumeStatsResponse.ts';
import { openCalls } from './call.ts';

/** csi.v1.Node of the driver behind a socket, called as kubelet calls it. */
export function connectNode(socketPath: string): CsiNode {
  const client = new (loadDefinitions().csi.v1.Node)(`unix:${socketPath}`, credentials.createInsecure());
  const { ask } = openCalls(client, socketPath);
  return {
    async publish(volumeId, targetPath, attributes, signal) {
      const request = {
        volume_id: volumeId,
        target_path: targetPath,
        volume_capability: { mount: {}, access_mode: { mode: 'SINGLE_NODE_WRITER' } },
        readonly: true,
        volume_context: attributes,
      } as const;
      await ask(done => client.NodePublishVolume(request, deadline(), done), signal);
    },
    async unpublish(volume_id, target_path, signal) {
      await ask(done => client.NodeUnpublishVolume({ volume_id, target_path }, deadline(), done), signal);
    },
    async stats(volume_id, volume_path, signal) {
      const { usage } = await ask<NodeGetVolumeStatsResponse__Output>(
        done => client.NodeGetVolumeStats({ volume_id, volume_path }, deadline(), done),
        signal,
      );
      const used = (unit: string): number => usage.find(one => one.unit === unit)?.used ?? 0;
      return { bytes: used('BYTES'), inodes: used('INODES') };
    },
    close: () => client.close(),
  };
}

/** kubelet gives each call two minutes. */
function deadline(): { readonly deadline: number } {
  return { deadline: Date.now() + 120_000 };
}
