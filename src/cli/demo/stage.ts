import type { Dirent } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { styleText } from 'node:util';
import { formatJson } from '../../util/printable.ts';
import { formatSize } from '../../util/size.ts';
import { openProgress, type ProgressView } from '../progress.ts';
import type { Terminal } from '../shell.ts';

const width = 92;

/** Prints the demo: numbered steps, each with its duration. */
export type DemoStage = {
  heading(text: string): void;
  /** Does the work, then prints its result and duration. */
  step<T>(work: () => Promise<T>, tell: (value: T) => string): Promise<T>;
  /** Prints lines below a step. */
  say(text: string): void;
  /** Shows how far work is. */
  progress(): ProgressView;
  /** Ends the output. */
  end(): void;
};

/** With `json`, it prints one document at its end. */
export function openStage(stdout: Terminal['stdout'], json: boolean, signal: AbortSignal): DemoStage {
  let count = 0;
  const shown: object[] = [];
  const style = (format: 'bold' | 'dim', text: string): string => styleText(format, text, { stream: stdout });
  return {
    heading(text) {
      if (json) shown.push({ kind: 'heading', text });
      else stdout.write(`\n${style('bold', text)}\n\n`);
    },
    async step(work, tell) {
      signal.throwIfAborted();
      const started = performance.now();
      const value = await work();
      const milliseconds = performance.now() - started;
      const text = tell(value);
      count++;
      if (json) {
        shown.push({ kind: 'step', step: count, text, milliseconds: Math.round(milliseconds) });
        return value;
      }
      const line = `${String(count).padStart(2)}  ${text}`;
      const time = formatMilliseconds(milliseconds);
      stdout.write(`${line}${style('dim', time.padStart(Math.max(width - line.length, time.length + 2)))}\n`);
      return value;
    },
    say(text) {
      if (json) shown.push({ kind: 'text', text: text.trim() });
      else stdout.write(text.replace(/^(?=.)/gm, '      '));
    },
    progress: () => openProgress(stdout, json ? 'name' : 'text'),
    end() {
      if (json) stdout.write(`${formatJson(shown, 2)}\n`);
    },
  };
}

/** `2.1 ms`, `340 ms`, `1.2 s`. */
function formatMilliseconds(milliseconds: number): string {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
}

/** A directory as `tree` shows it, with sizes. */
export async function formatTree(directory: string, label: string): Promise<string> {
  const lines = [label, ...(await branches(directory, ''))];
  return lines.map(line => `${line}\n`).join('');
}

async function branches(directory: string, indent: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const sorted = entries.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const lines: string[] = [];
  for (const [index, entry] of sorted.entries()) {
    const last = index === sorted.length - 1;
    const start = `${indent}${last ? '└── ' : '├── '}${entry.name}`;
    lines.push(`${start.padEnd(38)}${await describe(directory, entry)}`.trimEnd());
    if (!entry.isDirectory()) continue;
    lines.push(...(await branches(join(directory, entry.name), `${indent}${last ? '    ' : '│   '}`)));
  }
  return lines;
}

async function describe(directory: string, entry: Dirent): Promise<string> {
  const path = join(directory, entry.name);
  if (entry.isSymbolicLink()) return `-> ${await readlink(path)}`;
  return entry.isFile() ? formatSize((await lstat(path)).size).padStart(8) : '';
}
