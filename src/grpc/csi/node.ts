import { tokensKey } from '../../oci/credential.ts';
import type { Publishing } from '../../ports/publishing.ts';
import type { MountFlag, Pod, PublishRequest } from '../../ports/request.ts';
import { ArtifactError, invalidValue } from '../../util/error.ts';
import { quoteName } from '../../util/name.ts';
import { isKubernetesKey, parseAttributes } from '../../volume/attributes.ts';
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
import type { VolumeCapability__Output } from '../wire/csi/v1/VolumeCapability.ts';
import { toVolumeCondition, toVolumeHealth } from './volume-health.ts';

/** csi.v1.Node. `nodeId` is the node's name in Kubernetes. */
export function nodeHandlers(edge: Edge, nodeId: string, publishing: Publishing): NodeHandlers {
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
  publishing: Publishing,
  wire: NodePublishVolumeRequest__Output,
  call: CallContext,
): Promise<NodePublishVolumeResponse> {
  call.note({
    volumeId: wire.volume_id,
    target: wire.target_path,
    namespace: wire.volume_context['csi.storage.k8s.io/pod.namespace'],
    pod: wire.volume_context['csi.storage.k8s.io/pod.name'],
  });
  const request = parsePublishRequest(wire);
  call.note({ reference: request.reference });
  const { digest, bytes, origin } = await publishing.publish(request, call.signal);
  call.note({ digest, bytes, ...origin });
  return {};
}

async function unpublish(
  publishing: Publishing,
  wire: NodeUnpublishVolumeRequest__Output,
  call: CallContext,
): Promise<NodeUnpublishVolumeResponse> {
  call.note({ volumeId: wire.volume_id, target: wire.target_path });
  const target = { path: parseTargetPath(wire.target_path, 'target_path'), anywhere: false };
  const was = await publishing.unpublish(parseVolumeId(wire.volume_id), target, call.signal);
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

const flags: readonly MountFlag[] = ['ro', 'noexec', 'nosuid', 'nodev', 'noatime'];

/** PATH_MAX of Linux without its NUL, and far above the length of volume ids in Kubernetes. */
const longestPath = 4095;
const longestId = 1024;

/**
 * Parses NodePublishVolume (CSI 1.12), and validates what does not depend on the node. Secrets are those of the call
 * and the pod's service account tokens, wherever kubelet puts these.
 *
 * @throws ArtifactError `invalid` saying what to change.
 */
export function parsePublishRequest(wire: NodePublishVolumeRequest__Output): PublishRequest {
  const volumeId = parseVolumeId(wire.volume_id);
  const targetPath = parseTargetPath(wire.target_path, 'target_path');
  const mountFlags = parseCapability(wire.volume_capability);
  const context = wire.volume_context;
  const attributes = parseAttributes(context);
  const pod = parsePod(context, targetPath);
  const tokens = context[tokensKey];
  return {
    ...attributes,
    caller: 'pod',
    secrets: { ...(tokens === undefined ? {} : { [tokensKey]: tokens }), ...wire.secrets },
    volumeId,
    targetPath,
    anywhere: false,
    mountFlags,
    ...(!wire.readonly && { isWritable: true }),
    ...(pod === undefined ? {} : { pod }),
    fingerprint: JSON.stringify({
      volumeId,
      access: ['mount', wire.volume_capability?.access_mode?.mode ?? 'UNKNOWN'],
      readonly: wire.readonly,
      mountFlags,
      attributes: Object.entries(context)
        .filter(([key]) => !isKubernetesKey(key))
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    }),
  };
}

/** @throws ArtifactError `invalid` if it is empty or longer than 1,024 bytes. */
function parseVolumeId(text: string): string {
  if (text === '')
    throw new ArtifactError('invalid', 'volume_id is missing; the caller must name the volume');
  if (Buffer.byteLength(text) <= longestId && !/\p{Cc}/u.test(text)) return text;
  throw invalidValue('volume_id', text, `must be at most ${longestId} bytes, without control characters`);
}

/** A path as kubelet writes it: absolute and normalized. @throws ArtifactError `invalid`. */
export function parseTargetPath(text: string, field: string): string {
  if (text === '')
    throw new ArtifactError('invalid', `${field} is missing; the caller must name the directory`);
  const parts = text.split('/').slice(1);
  const plain = text.startsWith('/') && !parts.some(part => part === '' || part === '.' || part === '..');
  if (plain && Buffer.byteLength(text) <= longestPath && !/\p{Cc}/u.test(text)) return text;
  throw invalidValue(
    field,
    text,
    `must be absolute, with no empty part, ".", ".." or control character, and at most ${longestPath} bytes`,
  );
}

/** The mount flags, sorted and without duplicates, so that their order does not make another request. */
function parseCapability(capability: VolumeCapability__Output | null): readonly MountFlag[] {
  if (capability === null) {
    throw new ArtifactError('invalid', 'volume_capability is missing; the caller must ask for a mount');
  }
  if (capability.access_type === 'block') {
    throw new ArtifactError(
      'invalid',
      'an artifact cannot be a block device; set volumeMode: Filesystem in the PersistentVolume and its claim',
    );
  }
  if (capability.access_type === undefined) {
    throw new ArtifactError(
      'invalid',
      'volume_capability names no access type; the caller must ask for a mount',
    );
  }
  return [...new Set(capability.mount?.mount_flags.map(parseFlag))].sort();
}

function parseFlag(text: string): MountFlag {
  const flag = flags.find(known => known === text);
  if (flag !== undefined) return flag;
  // The value may be a secret, which CSI forbids to show.
  throw invalidValue(
    'mount flag',
    text.split('=', 1)[0] ?? '',
    `must be one of ${flags.join(', ')}; remove it from mountOptions of the PersistentVolume`,
  );
}

/**
 * The pod of the volume; undefined if it is not certain. Only the uid in the target path is trusted: if the CSIDriver
 * object lacks podInfoOnMount, a user can write the other keys, but cannot know the pod's future uid.
 */
function parsePod(context: Readonly<Record<string, string>>, targetPath: string): Pod | undefined {
  const uid = context['csi.storage.k8s.io/pod.uid'];
  const name = context['csi.storage.k8s.io/pod.name'];
  const namespace = context['csi.storage.k8s.io/pod.namespace'];
  const serviceAccount = context['csi.storage.k8s.io/serviceAccount.name'];
  const ofPath = /\/pods\/([^/]+)\/volumes\/kubernetes\.io~csi\/[^/]+\/mount$/.exec(targetPath)?.[1];
  if (uid !== undefined && ofPath !== undefined && uid !== ofPath) {
    throw new ArtifactError(
      'invalid',
      `csi.storage.k8s.io/pod.uid is ${quoteName(uid)}, but the target path is of the pod ${ofPath}; remove that attribute from the volume, and set podInfoOnMount: true in the CSIDriver object`,
    );
  }
  if (!uid || uid !== ofPath || !name || !namespace) return undefined;
  return { namespace, name, uid, ...(serviceAccount ? { serviceAccount } : {}) };
}
