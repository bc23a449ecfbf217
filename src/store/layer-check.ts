import { quoteName } from '../oci/name.ts';
import type { TocEntry } from '../oci/toc.ts';
import { unlessAbsent } from './absent.ts';
import { hashFile } from './file-hash.ts';

/** Hashes the body of an entry again. @returns what is wrong with it, or undefined. */
export async function checkBody(
  entry: TocEntry,
  pathOf: (body: number) => string,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (entry.kind !== 'file') return undefined;
  const found = await unlessAbsent(hashFile(pathOf(entry.body), 'sha256', signal));
  const body = `body ${entry.body} (${quoteName(entry.path)})`;
  if (found === undefined) return `${body} is missing`;
  if (found.size !== entry.size) return `${body} has ${found.size} bytes, not ${entry.size}`;
  if (found.hex !== entry.sha256) return `${body} has sha256 ${found.hex}, not ${entry.sha256}`;
  return undefined;
}
