import type { LayerProgress } from '../ports/usecases.ts';
import { printable } from '../util/printable.ts';
import { formatSize } from '../util/size.ts';
import { formatAge } from '../util/words.ts';
import { createRate } from '../volume/pull/progress.ts';
import type { OutputFormat } from './output-format.ts';
import type { Terminal } from './shell.ts';
import { cutTo, padTo, widthOf } from './width.ts';

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
      // A phase of unknown size says nothing that its result will not say.
      if (progress.totalBytes === 0 && progress.waits === undefined && progress.phase !== 'resolve') return;
      const step = `${progress.phase} ${progress.waits} ${Math.floor(percent(progress.bytes, progress.totalBytes) / 10)}`;
      if (step === last) return;
      last = step;
      stream.write(`${formatProgress(progress)}\n`);
    },
    hide: () => {},
    [Symbol.dispose]: () => {},
  };
}

/** Progress of a command. `totalBytes` is 0 while unknown; `layers` only if they are counted. */
export type Reached = {
  readonly phase: string;
  readonly bytes: number;
  readonly totalBytes: number;
  readonly layers?: number;
  readonly totalLayers?: number;
  readonly bytesPerSecond?: number;
  /** The layers in progress. */
  readonly current?: readonly LayerProgress[];
  /** What it waits for. */
  readonly waits?: string;
};

const gap = '  ';
const barWidth = 20;
const leastName = 10;
const mostName = 40;
/** Columns of percentage, size, rate and time left. A narrow terminal shows the first of them. */
const widths = ['100 %', '1023 MiB of 1023 MiB', '1023 KiB/s', '59m left'].map(widthOf);

/** The lines on a terminal: one per layer in progress, and the last for the total. None is wider than `columns`. */
export function formatBlock(reached: Reached, columns: number): readonly string[] {
  const { phase, bytes, totalBytes, bytesPerSecond = 0, current = [] } = reached;
  if (totalBytes === 0) return [cutTo(phase, columns)];
  const all = { name: phase, bytes, totalBytes, bytesPerSecond };
  const widest = Math.max(...[...current, all].map(({ name }) => widthOf(printable(name))));
  const layout = toLayout(Math.min(widest, mostName), columns);
  return [...current.map(layer => formatLine(layer, layout, [])), formatLine(all, layout, layersOf(reached))];
}

/** `fields`: how many of the widths fit beside a name of `name` columns. */
type Layout = { readonly columns: number; readonly name: number; readonly fields: number };

function toLayout(widest: number, columns: number): Layout {
  const taken = (fields: number): number =>
    widths.slice(0, fields).reduce((sum, width) => sum + gap.length + width, 0);
  let fields = widths.length;
  while (fields > 1 && Math.min(widest, leastName) + taken(fields) > columns) fields--;
  return { columns, fields, name: Math.max(1, Math.min(widest, columns - taken(fields))) };
}

/** `more` and the bar are shown if there is space. */
function formatLine(one: LayerProgress, layout: Layout, more: readonly string[]): string {
  const { bytes, totalBytes, bytesPerSecond } = one;
  const fields = [
    `${percent(bytes, totalBytes)} %`.padStart(widths[0] ?? 0),
    `${formatSize(bytes)} of ${formatSize(totalBytes)}`,
    `${formatSize(bytesPerSecond)}/s`,
    formatLeft(one),
  ].slice(0, layout.fields);
  const cells = [
    padTo(cutTo(printable(one.name), layout.name), layout.name),
    ...fields.map((field, index) => padTo(field, widths[index] ?? 0)),
  ];
  let line = cells.join(gap);
  if (fields.length === widths.length) {
    for (const extra of [...more, formatBar(bytes, totalBytes)])
      if (widthOf(line + gap + extra) <= layout.columns) line += gap + extra;
  }
  return cutTo(line.trimEnd(), layout.columns);
}

/** `2 of 5 layers`, in a list of one; empty if layers are not counted. */
function layersOf({ layers, totalLayers }: Reached): readonly string[] {
  return layers === undefined ? [] : [`${layers} of ${totalLayers} layers`];
}

function formatLeft({ bytes, totalBytes, bytesPerSecond }: LayerProgress): string {
  if (bytes >= totalBytes || bytesPerSecond < 1) return '';
  return `${formatAge(((totalBytes - bytes) / bytesPerSecond) * 1000)} left`;
}

function formatBar(bytes: number, totalBytes: number): string {
  const filled = Math.floor((percent(bytes, totalBytes) / 100) * barWidth);
  return '█'.repeat(filled) + '░'.repeat(barWidth - filled);
}

/** Rounded down: 100 only if complete. */
function percent(bytes: number, totalBytes: number): number {
  return totalBytes === 0 ? 0 : Math.min(100, Math.floor((bytes / totalBytes) * 100));
}
