import { resolve } from 'node:path';
import type { Published } from '../../ports/publishing.ts';
import type { PublishRequest } from '../../ports/request.ts';
import { ArtifactError } from '../../util/error.ts';
import { formatSize } from '../../util/size.ts';
import { findOwnMount, toMountRequest } from '../../volume/manual-mount.ts';
import { print } from '../output.ts';
import { pulling, toPullError } from '../pulling.ts';
import { toDigested, toReference } from '../reference.ts';
import { toSecrets } from '../secrets.ts';
import { toPullRequest } from '../selection.ts';
import { type Options, operand, type Shell } from '../shell.ts';
import { toVolumeDocument } from '../volume-document.ts';

/** Mounts an artifact read-only at a directory, which is created. */
export async function mount(shell: Shell, operands: readonly string[], options: Options): Promise<void> {
  const targetPath = resolve(operand(operands, 1));
  const secrets = await toSecrets(options, shell.terminal.stdin);
  const reference = await toReference(operand(operands, 0), shell.backend);
  const pull = toPullRequest(reference, options, secrets);
  // An existing mount may need no registry.
  const isFirst = findOwnMount(await shell.backend.artifacts.volumes(), targetPath) === undefined;
  const request = toMountRequest(targetPath, pull);
  const { origin: _, ...volume } = await (isFirst && shell.output === 'text'
    ? publishWithProgress(shell, request)
    : shell.backend.publishing.publish(request, shell.signal));
  const shown = toDigested({ reference: volume.resolved, digest: volume.digest });
  await print(shell, {
    value: toVolumeDocument(volume),
    text: () => `${shown} at ${targetPath}, ${formatSize(volume.bytes)}, read-only\n`,
    names: [targetPath],
  });
}

/**
 * A publish reports no progress, and a pull of the same view shares its flight. The publish is not after the pull,
 * because it verifies the directory first.
 */
async function publishWithProgress(shell: Shell, request: PublishRequest): Promise<Published> {
  const over = new AbortController();
  const signal = AbortSignal.any([shell.signal, over.signal]);
  // The publish fails for the same reason, or needs nothing of it.
  const reached = { bytes: 0 };
  const shown = pulling({ ...shell, signal }, request, reached).catch(() => undefined);
  try {
    return await shell.backend.publishing.publish(request, shell.signal);
  } catch (error) {
    throw toPullError(error, request, shell.signal, reached);
  } finally {
    over.abort();
    await shown;
  }
}

/**
 * Unmounts a directory mounted with `mount`.
 *
 * @throws ArtifactError `denied` for a pod's volume, because kubelet would not notice.
 */
export async function unmount(shell: Shell, operands: readonly string[]): Promise<void> {
  const targetPath = resolve(operand(operands, 0));
  const volumes = await shell.backend.artifacts.volumes();
  const volume = findOwnMount(volumes, targetPath);
  if (volume === undefined) {
    throw new ArtifactError('not-found', `no artifact is mounted at ${targetPath}; \`volumes\` lists them`);
  }
  await shell.backend.publishing.unpublish({ path: targetPath, anywhere: true }, shell.signal);
  await print(shell, { value: { targetPath }, text: () => `unmounted ${targetPath}\n`, names: [targetPath] });
}
