import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { tocName } from '../tree/layer-files.ts';
import { createTocEncoder, type TocEncoder } from '../tree/toc-text.ts';
import { writeAll } from '../util/regular-file.ts';

/** Writes the table of contents while the bodies are written. Disposing it closes the file, complete or not. */
export type TocWriter = TocEncoder & Disposable;

export function openTocWriter(into: string): TocWriter {
  const fd = openSync(join(into, tocName), 'wx', 0o600);
  return { ...createTocEncoder(bytes => writeAll(fd, bytes)), [Symbol.dispose]: () => closeSync(fd) };
}
