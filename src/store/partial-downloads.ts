import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Milliseconds after which nobody is expected to resume a download. */
const idle = 24 * 60 * 60 * 1000;

/** Takes away the partial downloads that nobody has written to for a day. */
export async function retirePartials(
  folder: string,
  takeAway: (path: string) => Promise<void>,
): Promise<void> {
  const oldest = Date.now() - idle;
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (lstatSync(path).mtimeMs < oldest) await takeAway(path);
  }
}
