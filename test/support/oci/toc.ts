import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bodyDirectory, bodyName, tocName } from '../../../src/tree/layer-files.ts';
import type { TocEntry, TocSummary } from '../../../src/tree/toc.ts';
import { checksumLength, createTocDecoder, createTocEncoder } from '../../../src/tree/toc-text.ts';

/** A table of contents as one value, which only tests use. */
export type Toc = TocSummary & { readonly entries: readonly TocEntry[] };

/** The file of a table; `bytes` and `bodies` are recomputed. */
export function encodeToc(toc: Omit<Toc, 'bytes' | 'bodies'>): Buffer {
  const parts: Buffer[] = [];
  const encoder = createTocEncoder(bytes => void parts.push(bytes));
  for (const entry of toc.entries) encoder.add(entry);
  encoder.end(toc);
  return Buffer.concat(parts);
}

/** Parses a whole file in chunks of this many bytes. */
export function decodeToc(file: Buffer, step: number = file.length): Toc {
  const decoder = createTocDecoder();
  const end = file.length - checksumLength;
  const entries: TocEntry[] = [];
  for (let at = 0; at < end; at += step) {
    entries.push(...decoder.push(file.subarray(at, Math.min(at + step, end))));
  }
  const summary = decoder.end(file.toString('latin1', end));
  assert.ok(summary);
  return { ...summary, entries };
}

/** Writes a table into a stage. */
export function writeToc(stage: string, toc: Omit<Toc, 'bytes' | 'bodies'>): TocSummary {
  const file = encodeToc(toc);
  writeFileSync(join(stage, tocName), file, { flag: 'wx' });
  const { entries: _, ...summary } = decodeToc(file);
  return summary;
}

/** Returns the path of a body in a layer's directory, and creates its subdirectory. */
export function placeOfBody(layer: string, body: number): string {
  mkdirSync(join(layer, bodyDirectory(body)), { recursive: true });
  return join(layer, bodyName(body));
}
