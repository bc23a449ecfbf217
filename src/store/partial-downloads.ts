import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Milliseconds after which nobody is expected to resume a download. */
const idle = 24 * 60 * 60 * 1000;

/** Takes away the partial downloads that nobody has written to for a day, but for those that are gone on with. */
export async function retirePartials(
  folder: string,
  isOpen: (name: string) => boolean,
  takeAway: (path: string) => Promise<void>,
): Promise<void> {
  const oldest = Date.now() - idle;
  for (const name of readdirSync(folder)) {
    if (isOpen(name)) continue;
    const path = join(folder, name);
    // One that ended meanwhile is not there any more.
    const status = lstatSync(path, { throwIfNoEntry: false });
    if (status !== undefined && status.mtimeMs < oldest) await takeAway(path);
  }
}
