import { closeSync, existsSync, linkSync, lstatSync, openSync } from 'node:fs';

/**
 * Makes two paths one file: the one that there is, or a new one. Two files stay as they are, and so does one with more
 * names: it may be shown under another one, and a download would write to it.
 */
export function shareFile(partial: string, other: string): void {
  if (!existsSync(other)) {
    closeSync(openSync(partial, 'a', 0o644));
    linkSync(partial, other);
  } else if (!existsSync(partial) && lstatSync(other).nlink === 1) linkSync(other, partial);
}
