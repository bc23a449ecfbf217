import type { CsiNode } from '../../ports/backend.ts';
import type { DemoVolume } from './node.ts';

/**
 * Publishes as kubelet does for an inline volume.
 *
 * @param attributes of the volume.
 */
export async function publish(
  csi: CsiNode,
  { id, pod, target }: DemoVolume,
  attributes: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<void> {
  const ofKubelet = {
    'csi.storage.k8s.io/ephemeral': 'true',
    'csi.storage.k8s.io/pod.namespace': 'default',
    'csi.storage.k8s.io/pod.name': pod,
    'csi.storage.k8s.io/pod.uid': target.split('/pods/')[1]?.split('/')[0] ?? '',
    'csi.storage.k8s.io/serviceAccount.name': 'default',
  };
  await csi.publish(id, target, { ...ofKubelet, ...attributes }, signal);
}
