import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { ArtifactError } from '../../util/error.ts';
import { formatSize } from '../../util/size.ts';
import { toSecrets } from '../secrets.ts';
import { toPullRequest } from '../selection.ts';
import { operand, type Options, print, type Shell } from '../shell.ts';

/** Shows an artifact read-only at a folder that is made for it. */
export async function mount(shell: Shell, operands: readonly string[], options: Options): Promise<void> {
  const targetPath = resolve(operand(operands, 1));
  const secrets = await toSecrets(options, shell.terminal.stdin);
  const pull = toPullRequest(operand(operands, 0), options, secrets);
  const { reference, pullPolicy, platform, selection } = pull;
  const volume = await shell.house.publishing.publish(
    {
      ...pull,
      volumeId: toVolumeId(targetPath),
      targetPath,
      anywhere: true,
      mountFlags: [],
      fingerprint: JSON.stringify({ reference, pullPolicy, platform, selection }),
    },
    shell.signal,
  );
  const { fingerprint: _, ...shown } = volume;
  print(
    shell,
    shown,
    () => `${volume.resolved}@${volume.digest} at ${targetPath}, ${formatSize(volume.bytes)}, read-only\n`,
  );
}

/**
 * Takes such a mount and its folder away.
 * @throws ArtifactError `denied` for a pod's volume: kubelet would not know.
 */
export async function unmount(shell: Shell, operands: readonly string[]): Promise<void> {
  const targetPath = resolve(operand(operands, 0));
  const volumes = await shell.house.artifacts.volumes();
  const volume = volumes.find(found => found.targetPath === targetPath);
  if (volume === undefined) {
    throw new ArtifactError('not-found', `no artifact is mounted at ${targetPath}; \`volumes\` lists them`);
  }
  if (!volume.anywhere) {
    const pod = volume.pod === undefined ? 'kubelet' : `the pod ${volume.pod.namespace}/${volume.pod.name}`;
    throw new ArtifactError('denied', `${targetPath} is a volume of ${pod}; delete the pod to unmount it`);
  }
  const { volumeId } = volume;
  await shell.house.publishing.unpublish(volumeId, { path: targetPath, anywhere: true }, shell.signal);
  print(shell, { targetPath }, () => `unmounted ${targetPath}\n`);
}

/** One volume for each folder, whoever mounts it again. */
function toVolumeId(targetPath: string): string {
  return `mount-${createHash('sha256').update(targetPath).digest('hex').slice(0, 32)}`;
}
