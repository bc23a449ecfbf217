import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join, relative } from 'node:path';

/**
 * The content of a directory, by relative path: `directory`, `link to <target>`, or `<size> bytes <sha256>` of a file,
 * without modes and times.
 */
export function readTree(directory: string): Readonly<Record<string, string>> {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  const tree = entries.map(entry => {
    const path = join(entry.parentPath, entry.name);
    return [relative(directory, path), describe(path, entry.isDirectory(), entry.isSymbolicLink())] as const;
  });
  return Object.fromEntries(tree.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function describe(path: string, isDirectory: boolean, isLink: boolean): string {
  if (isDirectory) return 'directory';
  if (isLink) return `link to ${readlinkSync(path)}`;
  const bytes = readFileSync(path);
  return `${bytes.byteLength} bytes ${createHash('sha256').update(bytes).digest('hex')}`;
}
