import { lstatSync, readdirSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Scratch } from './scratch.ts';

/** Milliseconds after which nobody is expected to resume a download. */
const idle = 24 * 60 * 60 * 1000;

/** Moves partial downloads that nobody has written to for a day into the scratch folder. */
export async function retirePartials(folder: string, scratch: Scratch): Promise<void> {
  const oldest = Date.now() - idle;
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (lstatSync(path).mtimeMs < oldest) await rename(path, scratch.fresh());
  }
}
