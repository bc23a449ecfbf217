import type { VolumeStatus } from '../../ports/usecases.ts';
import { formatLate } from '../../util/late-text.ts';
import { formatSize } from '../../util/size.ts';
import { formatAge, formatDigest } from '../../util/words.ts';
import { print } from '../output.ts';
import type { Shell } from '../shell.ts';
import { formatTable, type TableHeader } from '../table.ts';
import { formatLines } from '../text.ts';
import { toVolumeDocument } from '../volume-document.ts';

const header: TableHeader = {
  POD: 'key',
  REFERENCE: 'key',
  DIGEST: 'digest',
  SIZE: 'spare',
  AGE: 'spare',
  MOUNTED: 'fixed',
  TARGET: 'spare',
};

/**
 * Lists the artifact of each volume by target path, the volumes that a policy would refuse now or that show damaged
 * content, and those that are loaded on demand.
 */
export async function volumes(shell: Shell): Promise<void> {
  const found = await shell.backend.artifacts.volumes();
  const sorted = found.toSorted((a, b) => (a.targetPath < b.targetPath ? -1 : 1));
  await print(shell, {
    value: sorted.map(toVolumeDocument),
    names: sorted.map(({ targetPath }) => targetPath),
    text: () => formatVolumes(sorted, shell) + formatProblems(sorted),
  });
}

function formatVolumes(volumes: readonly VolumeStatus[], { terminal, columns, whole }: Shell): string {
  const rows = volumes.map(volume => [
    volume.pod === undefined ? '-' : `${volume.pod.namespace}/${volume.pod.name}`,
    volume.reference,
    formatDigest(volume.digest, whole),
    formatSize(volume.bytes),
    formatAge(terminal.now() - volume.publishedAt),
    volume.mounted ? 'yes' : 'no',
    volume.targetPath,
  ]);
  return formatTable(header, rows, columns);
}

function formatProblems(volumes: readonly VolumeStatus[]): string {
  const refused = volumes.flatMap(({ refused: why, ...volume }) =>
    why === undefined ? [] : `${formatPlace(volume)} would be refused now: ${why}`,
  );
  const damaged = volumes.flatMap(({ damaged: what, ...volume }) =>
    what === undefined ? [] : `${formatPlace(volume)} shows damaged content: ${what}`,
  );
  const loading = volumes.flatMap(({ loading: late, ...volume }) =>
    late === undefined ? [] : `${formatPlace(volume)} is loaded ${formatLate(late)}`,
  );
  return formatLines([...refused, ...damaged, ...loading]);
}

/** `namespace/pod (path)`: a pod may have several volumes. */
function formatPlace({ pod, targetPath }: Pick<VolumeStatus, 'pod' | 'targetPath'>): string {
  return pod === undefined ? targetPath : `${pod.namespace}/${pod.name} (${targetPath})`;
}
