import { Presets, SingleBar } from 'cli-progress';
import { formatSize } from '../util/size.ts';
import type { OutputFormat } from './output.ts';
import type { Terminal } from './shell.ts';

/** How far something is. `totalBytes` is 0 while that is not known; `layers` only where they are counted. */
export type Reached = {
  readonly phase: string;
  readonly bytes: number;
  readonly totalBytes: number;
  readonly layers?: number;
  readonly totalLayers?: number;
  /** What it waits for. */
  readonly waits?: string;
};
export type ProgressView = Disposable & {
  update(reached: Reached): void;
  /** Makes room for other lines; the next update shows it again. */
  hide(): void;
};

/**
 * On stderr: a bar on a terminal; elsewhere a line for each phase and each tenth of the bytes, unless a program reads the
 * result, and none where names alone were asked for.
 */
export function openProgress(stderr: Terminal['stderr'], output: OutputFormat): ProgressView {
  if (output === 'name') return silent;
  if (stderr.isTTY === true) return openBar(stderr);
  return output === 'text' ? openLines(stderr) : silent;
}

const silent: ProgressView = { update() {}, hide() {}, [Symbol.dispose]() {} };

/** `download 43 % (3.1 GiB of 7.2 GiB, 2 of 5 layers)`. */
export function formatProgress(reached: Reached): string {
  const { phase, bytes, totalBytes, waits } = reached;
  if (waits !== undefined) return waits;
  if (phase === 'resolve' || totalBytes === 0) return phase;
  const parts = [`${formatSize(bytes)} of ${formatSize(totalBytes)}`, ...layersOf(reached)];
  return `${phase} ${percent(bytes, totalBytes)} % (${parts.join(', ')})`;
}

function layersOf({ layers, totalLayers }: Reached): readonly string[] {
  return layers === undefined ? [] : [`${layers} of ${totalLayers} layers`];
}

function openBar(stream: Terminal['stderr']): ProgressView {
  const format = '{phase} {bar} {percentage} % | {parts}';
  const bar = new SingleBar(
    { stream, format, barsize: 24, hideCursor: true, clearOnComplete: true },
    Presets.shades_grey,
  );
  let waited: string | undefined;
  let first: { readonly bytes: number; readonly time: number } | undefined;
  return {
    update(progress) {
      const { bytes, totalBytes, waits } = progress;
      if (waits !== waited) {
        waited = waits;
        bar.stop();
        if (waits !== undefined) stream.write(`${formatProgress(progress)}\n`);
      }
      if (totalBytes === 0 || waits !== undefined) return;
      // What the cache held already has no speed.
      first ??= { bytes, time: performance.now() };
      const seconds = Math.max((performance.now() - first.time) / 1000, 0.001);
      const rate = `${formatSize((bytes - first.bytes) / seconds)}/s`;
      const parts = [`${formatSize(bytes)} of ${formatSize(totalBytes)}`, ...layersOf(progress), rate];
      const payload = { phase: progress.phase.padEnd('download'.length), parts: parts.join(' | ') };
      if (!bar.isActive) bar.start(totalBytes, bytes, payload);
      bar.setTotal(totalBytes);
      bar.update(bytes, payload);
    },
    hide: () => bar.stop(),
    [Symbol.dispose]: () => bar.stop(),
  };
}

function openLines(stream: Terminal['stderr']): ProgressView {
  let last = '';
  return {
    update(progress) {
      const step = `${progress.phase} ${progress.waits} ${Math.floor(percent(progress.bytes, progress.totalBytes) / 10)}`;
      if (step === last) return;
      last = step;
      stream.write(`${formatProgress(progress)}\n`);
    },
    hide: () => {},
    [Symbol.dispose]: () => {},
  };
}

/** Rounded down: 100 only when all is there. */
function percent(bytes: number, totalBytes: number): number {
  return totalBytes === 0 ? 0 : Math.floor((bytes / totalBytes) * 100);
}
