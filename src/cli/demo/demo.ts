import { verifyKernel } from '../../mount/kernel.ts';
import { ArtifactError } from '../../util/error.ts';
import type { Builder } from '../builder.ts';
import type { Terminal } from '../shell.ts';
import { expect, isThere } from './observation.ts';
import { type DemoStage, openStage } from './stage.ts';

/** `onDemand`: shows a large artifact that is mounted while it still comes. */
export type DemoOptions = { readonly json: boolean; readonly onDemand: boolean };

/**
 * Publishes and unpublishes an artifact with the real daemon in a child process and a registry in this one. It prints
 * only what it has observed: a failed check ends the demo with an error. Everything is undone at the end.
 */
export async function demo(
  builder: Builder,
  terminal: Terminal,
  { json, onDemand }: DemoOptions,
): Promise<void> {
  if (process.getuid?.() !== 0) {
    const command = onDemand ? 'npm run demo -- --on-demand' : 'npm run demo';
    throw new ArtifactError(
      'denied',
      `the demo mounts volumes, and needs root: sudo env "PATH=$PATH" ${command}`,
    );
  }
  verifyKernel();
  const signal = terminal.interrupted('ignore');
  const stage = openStage(terminal.stdout, json, signal);
  const started = performance.now();
  try {
    const path = await show(builder, stage, onDemand, signal);
    expect(await isThere(path), false);
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new ArtifactError('cancelled', 'the demo was interrupted; all it had made is gone again', error);
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  stage.heading(`No mount, no process and no file is left. All of it took ${seconds} s.`);
  stage.end();
}

/** Returns the directory that it used. */
async function show(
  builder: Builder,
  stage: DemoStage,
  onDemand: boolean,
  signal: AbortSignal,
): Promise<string> {
  if (onDemand) {
    stage.heading('An OCI artifact of 2 GiB is mounted while it still comes');
    return await (await import('./on-demand.ts')).showOnDemand(builder, stage, signal);
  }
  stage.heading('An OCI artifact becomes a read-only volume');
  return await (await import('./sharing.ts')).showSharing(builder, stage, signal);
}
