import { closeSync, existsSync, linkSync, openSync } from 'node:fs';

/** Makes two paths one file: the one that there is, or a new one. Two files stay as they are. */
export function shareFile(partial: string, other: string): void {
  if (!existsSync(other)) {
    closeSync(openSync(partial, 'a', 0o644));
    linkSync(partial, other);
  } else if (!existsSync(partial)) linkSync(other, partial);
}
