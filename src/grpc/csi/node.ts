import type { PodPublishing, Publishing } from '../../ports/publishing.ts';
import type { PublishRequest } from '../../ports/request.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { type CallContext, type Edge, unary } from '../edge/call.ts';
import type { NodeHandlers } from '../wire/csi/v1/Node.ts';
import type { NodeGetVolumeHealthRequest__Output } from '../wire/csi/v1/NodeGetVolumeHealthRequest.ts';
import type { NodeGetVolumeHealthResponse } from '../wire/csi/v1/NodeGetVolumeHealthResponse.ts';
import type { NodeGetVolumeStatsRequest__Output } from '../wire/csi/v1/NodeGetVolumeStatsRequest.ts';
import type { NodeGetVolumeStatsResponse } from '../wire/csi/v1/NodeGetVolumeStatsResponse.ts';
import type { NodePublishVolumeRequest__Output } from '../wire/csi/v1/NodePublishVolumeRequest.ts';
import type { NodePublishVolumeResponse } from '../wire/csi/v1/NodePublishVolumeResponse.ts';
import type { NodeUnpublishVolumeRequest__Output } from '../wire/csi/v1/NodeUnpublishVolumeRequest.ts';
import type { NodeUnpublishVolumeResponse } from '../wire/csi/v1/NodeUnpublishVolumeResponse.ts';
import { parseAskedVolume, parsePublishRequest, parseTargetPath, parseVolumeId } from './publish-request.ts';
import { toVolumeCondition, toVolumeHealth } from './volume-health.ts';

/** csi.v1.Node. `nodeId` is the node's name in Kubernetes. */
export function nodeHandlers(edge: Edge, nodeId: string, publishing: PodPublishing): NodeHandlers {
  return {
    NodePublishVolume: unary(edge, (request, call) => publish(publishing, request, call)),
    NodeUnpublishVolume: unary(edge, (request, call) => unpublish(publishing, request, call)),
    NodeGetVolumeStats: unary(edge, (request, call) => getStats(publishing, request, call)),
    NodeGetVolumeHealth: unary(edge, (request, call) => getHealth(publishing, request, call)),
    NodeGetInfo: unary(edge, async () => ({ node_id: nodeId })),
    NodeGetCapabilities: unary(edge, async () => ({
      capabilities: (['GET_VOLUME_STATS', 'VOLUME_CONDITION', 'GET_VOLUME_HEALTH'] as const).map(type => ({
        rpc: { type },
      })),
    })),
    NodeStageVolume: unary(edge, refuse('a volume is published in one step, without staging')),
    NodeUnstageVolume: unary(edge, refuse('a volume is published in one step, without staging')),
    NodeExpandVolume: unary(edge, refuse('a volume is as large as its artifact')),
  };
}

async function publish(
  publishing: PodPublishing,
  wire: NodePublishVolumeRequest__Output,
  call: CallContext,
): Promise<NodePublishVolumeResponse> {
  call.note({
    volumeId: wire.volume_id,
    target: wire.target_path,
    namespace: wire.volume_context['csi.storage.k8s.io/pod.namespace'],
    pod: wire.volume_context['csi.storage.k8s.io/pod.name'],
  });
  const request = readRequest(wire, publishing);
  call.note({ reference: request.reference });
  const { digest, bytes, origin } = await publishing.publish(request, call.signal);
  call.note({ digest, bytes, ...origin });
  return {};
}

/** @throws ArtifactError `invalid`, which is noted as a failure of the volume if it has a target path. */
function readRequest(wire: NodePublishVolumeRequest__Output, publishing: PodPublishing): PublishRequest {
  try {
    return parsePublishRequest(wire);
  } catch (thrown) {
    const asked = parseAskedVolume(wire);
    if (asked !== undefined) publishing.refused(asked, toArtifactError(thrown));
    throw thrown;
  }
}

async function unpublish(
  publishing: Publishing,
  wire: NodeUnpublishVolumeRequest__Output,
  call: CallContext,
): Promise<NodeUnpublishVolumeResponse> {
  call.note({ volumeId: wire.volume_id, target: wire.target_path });
  const target = { path: parseTargetPath(wire.target_path, 'target_path'), anywhere: false };
  parseVolumeId(wire.volume_id); // CSI demands it
  const was = await publishing.unpublish(target, call.signal);
  if (was === undefined) return {};
  const { pod, reference, digest, bytes } = was;
  call.note({ namespace: pod?.namespace, pod: pod?.name, reference, digest, bytes });
  return {};
}

/**
 * Reports a volume as exactly as large as its content, and full, because it is read-only. The free space of the cache's
 * disk would count once for every volume. Alerts for full claims ignore ReadOnlyMany ones, which those of this driver
 * should be.
 */
async function getStats(
  publishing: Publishing,
  wire: NodeGetVolumeStatsRequest__Output,
  call: CallContext,
): Promise<NodeGetVolumeStatsResponse> {
  call.note({ volumeId: wire.volume_id, target: wire.volume_path });
  if (wire.volume_path === '') {
    throw new ArtifactError('invalid', 'volume_path is missing; the caller must name the directory');
  }
  // An invalid path is NOT_FOUND, too.
  const status = await publishing.stats(parseVolumeId(wire.volume_id), wire.volume_path, call.signal);
  const { bytes, inodes } = status;
  return {
    usage: [
      { unit: 'BYTES', total: bytes, used: bytes, available: 0 },
      { unit: 'INODES', total: inodes, used: inodes, available: 0 },
    ],
    volume_condition: toVolumeCondition(status),
  };
}

async function getHealth(
  publishing: Publishing,
  wire: NodeGetVolumeHealthRequest__Output,
  call: CallContext,
): Promise<NodeGetVolumeHealthResponse> {
  call.note({ volumeId: wire.volume_id, target: wire.volume_publish_path });
  const path = wire.volume_publish_path === '' ? undefined : wire.volume_publish_path;
  const status = await publishing.stats(parseVolumeId(wire.volume_id), path, call.signal);
  return { volume_health: toVolumeHealth(status) };
}

function refuse(why: string): () => Promise<never> {
  return async () => {
    throw new ArtifactError('unimplemented', `not supported: ${why}`);
  };
}
