import { createRate } from '../util/rate.ts';
import { formatSize } from '../util/size.ts';
import type { OutputFormat } from './output-format.ts';
import { formatBlock, layersOf, percent, type Reached } from './progress-lines.ts';
import type { Terminal } from './shell.ts';

export type ProgressView = Disposable & {
  update(reached: Reached): void;
  /** Removes the lines so that others can be printed; the next update shows them again. */
  hide(): void;
};

/**
 * Progress on stderr. On a terminal: one line per layer in progress, and one for the total. Elsewhere: one line per
 * phase and per tenth of the bytes. None for output `name`, and without a terminal none for JSON and YAML.
 */
export function openProgress(stderr: Terminal['stderr'], output: OutputFormat): ProgressView {
  if (output === 'name') return silent;
  if (stderr.isTTY === true) return openBlock(stderr);
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

/** Columns of a terminal of unknown width. */
const usualColumns = 80;

function openBlock(stream: Terminal['stderr']): ProgressView {
  const rate = createRate(10_000);
  let drawn = 0;
  let waited: string | undefined;
  const hide = (): void => {
    if (drawn > 0) stream.write(`\u001b[${drawn}A\r\u001b[J`);
    drawn = 0;
  };
  return {
    update(progress) {
      const { bytes, totalBytes, waits } = progress;
      const measured = rate(bytes, performance.now());
      hide();
      if (waits !== waited) {
        waited = waits;
        if (waits !== undefined) stream.write(`${formatProgress(progress)}\n`);
      }
      if (totalBytes === 0 || waits !== undefined) return;
      // One column less: some terminals wrap a full line.
      const lines = formatBlock(
        { bytesPerSecond: measured, ...progress },
        (stream.columns ?? usualColumns) - 1,
      );
      stream.write(lines.map(line => `${line}\n`).join(''));
      drawn = lines.length;
    },
    hide,
    [Symbol.dispose]: hide,
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
