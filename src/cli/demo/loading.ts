import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LateStatus } from '../../ports/on-demand.ts';
import type { Artifacts } from '../../ports/usecases.ts';
import { ArtifactError } from '../../util/error.ts';
import type { Shard } from './large-model.ts';
import type { DemoVolume } from './node.ts';
import { withFile } from './observation.ts';
import type { DemoStage } from './stage.ts';

/** Milliseconds without a byte after which the demo gives up. */
const patienceMs = 60_000;

/** Waits until a volume is loaded so far, and shows its progress. @throws `unavailable` if nothing comes. */
export async function waitForBytes(
  stage: DemoStage,
  artifacts: Artifacts,
  { target }: DemoVolume,
  isEnough: (status: LateStatus) => boolean,
  signal: AbortSignal,
): Promise<LateStatus> {
  using view = stage.progress();
  let last = { bytes: -1, at: performance.now() };
  for (;;) {
    const status = await loadingOf(artifacts, target);
    if (status !== undefined && isEnough(status)) return status;
    const { bytes = 0, problem = 'nothing comes' } = status ?? {};
    if (bytes !== last.bytes) last = { bytes, at: performance.now() };
    if (performance.now() - last.at > patienceMs)
      throw new ArtifactError('unavailable', `the volume is not loaded: ${problem}`);
    if (status !== undefined) view.update({ phase: 'load', ...status });
    await sleep(200, undefined, { signal });
  }
}

/** @throws `denied` with the reason, if a volume that was to be loaded on demand was not. */
export async function verifyOnDemand(artifacts: Artifacts, { target }: DemoVolume): Promise<void> {
  if ((await loadingOf(artifacts, target)) !== undefined) return;
  const { facts } = await artifacts.status();
  const why = facts.find(fact => fact.startsWith('loading on demand:')) ?? 'loading on demand: off';
  const advice = 'if the reason is the filesystem or its path, set TMPDIR to a short path on ext4 or XFS';
  throw new ArtifactError('denied', `this node cannot show it: ${why}; ${advice}`);
}

async function loadingOf(artifacts: Artifacts, target: string): Promise<LateStatus | undefined> {
  const volumes = await artifacts.volumes();
  return volumes.find(({ targetPath }) => targetPath === target)?.loading;
}

const endBytes = 4096;

/** Reads the end of a file, the bytes that come last. Returns `right`, `wrong`, or the error code of the system. */
export function readEnd({ target }: DemoVolume, { name, bytes: { size, read } }: Shard): Promise<string> {
  return withFile(join(target, name), 'r', async file => {
    const { buffer } = await file.read(Buffer.alloc(endBytes), 0, endBytes, size - endBytes);
    return buffer.equals(Buffer.concat([...read(size - endBytes, size)])) ? 'right' : 'wrong';
  });
}
