import { tokensKey } from '../../oci/credential.ts';
import type { AskedVolume } from '../../ports/failing-volume.ts';
import type { MountFlag, PublishRequest } from '../../ports/request.ts';
import { ArtifactError, invalidValue } from '../../util/error.ts';
import { quoteName } from '../../util/name.ts';
import { isKubernetesKey, parseAttributes } from '../../volume/attributes.ts';
import type { NodePublishVolumeRequest__Output } from '../wire/csi/v1/NodePublishVolumeRequest.ts';
import type { VolumeCapability__Output } from '../wire/csi/v1/VolumeCapability.ts';

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
  return {
    ...attributes,
    caller: 'pod',
    secrets: secretsOf(wire),
    volumeId,
    targetPath,
    anywhere: false,
    mountFlags,
    ...(!wire.readonly && { isWritable: true }),
    ...parsePod(context, targetPath),
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

/** What a request that is wrong asks for; undefined if its target path is wrong. */
export function parseAskedVolume(wire: NodePublishVolumeRequest__Output): AskedVolume | undefined {
  const { volume_context: context } = wire;
  const targetPath = orUndefined(() => parseTargetPath(wire.target_path, 'target_path'));
  if (targetPath === undefined) return undefined;
  const pod = orUndefined(() => parsePod(context, targetPath).pod);
  return { targetPath, reference: context['reference'] ?? '', secrets: secretsOf(wire), ...(pod && { pod }) };
}

function orUndefined<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}

function secretsOf({
  secrets,
  volume_context: context,
}: NodePublishVolumeRequest__Output): PublishRequest['secrets'] {
  const tokens = context[tokensKey];
  return { ...secrets, ...(tokens === undefined ? {} : { [tokensKey]: tokens }) };
}

/** @throws ArtifactError `invalid` if it is empty or longer than 1,024 bytes. */
export function parseVolumeId(text: string): string {
  if (text === '')
    throw new ArtifactError('invalid', 'volume_id is missing; the caller must name the volume');
  if (Buffer.byteLength(text) <= longestId && !/\p{Cc}/u.test(text)) return text;
  throw invalidValue('volume_id', text, `must be at most ${longestId} bytes, without control characters`);
}

/** A path as kubelet writes it: absolute and normalized. @throws ArtifactError `invalid`. */
export function parseTargetPath(text: string, field: string): string {
  if (text === '')
    throw new ArtifactError('invalid', `${field} is missing; the caller must name the directory`);
  if (text === '/')
    throw new ArtifactError('invalid', `${field} cannot be / itself; give a directory below it`);
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
 * The pod of the volume, or why it is not certain. Only the uid in the target path is trusted: if the CSIDriver object
 * lacks podInfoOnMount, a user can write the other keys, but cannot know the pod's future uid.
 */
function parsePod(
  context: Readonly<Record<string, string>>,
  targetPath: string,
): Pick<PublishRequest, 'pod' | 'podUnknown'> {
  const [uid = '', name = '', namespace = ''] = podKeys.map(key => context[key]);
  const serviceAccount = context['csi.storage.k8s.io/serviceAccount.name'];
  const ofPath = /\/pods\/([^/]+)\/volumes\/kubernetes\.io~csi\/[^/]+\/mount$/.exec(targetPath)?.[1];
  if (context[podKeys[0]] !== undefined && ofPath !== undefined && uid !== ofPath) {
    throw new ArtifactError(
      'invalid',
      `csi.storage.k8s.io/pod.uid is ${quoteName(uid)}, but the target path is of the pod ${ofPath}; remove that attribute from the volume, and set podInfoOnMount: true in the CSIDriver object`,
    );
  }
  const missing = podKeys.filter(key => !context[key]);
  if (missing.length > 0) {
    const advice = 'set podInfoOnMount: true in the CSIDriver object, so that kubelet tells';
    return { podUnknown: `the volume context has no ${missing.join(' and no ')}; ${advice}` };
  }
  if (ofPath === undefined)
    return { podUnknown: 'the target path must be …/pods/UID/volumes/kubernetes.io~csi/NAME/mount' };
  return { pod: { namespace, name, uid, ...(serviceAccount ? { serviceAccount } : {}) } };
}

const podKeys = [
  'csi.storage.k8s.io/pod.uid',
  'csi.storage.k8s.io/pod.name',
  'csi.storage.k8s.io/pod.namespace',
] as const;
