import type { Digest } from '../oci/digest.ts';
import { quoteName } from '../oci/name.ts';
import type { Toc } from '../oci/toc.ts';
import { unlessAbsent } from './absent.ts';
import { hashFile } from './file-hash.ts';

/** Hashes every body of a layer again. @returns what is wrong with the first that is, or undefined. */
export async function checkBodies(
  toc: Toc,
  pathOf: (digest: Digest, body: number) => string,
  signal: AbortSignal,
): Promise<string | undefined> {
  for (const entry of toc.entries) {
    if (entry.kind !== 'file') continue;
    const found = await unlessAbsent(hashFile(pathOf(toc.digest, entry.body), 'sha256', signal));
    const body = `body ${entry.body} (${quoteName(entry.path)})`;
    if (found === undefined) return `${body} is missing`;
    if (found.size !== entry.size) return `${body} has ${found.size} bytes, not ${entry.size}`;
    if (found.hex !== entry.sha256) return `${body} has sha256 ${found.hex}, not ${entry.sha256}`;
  }
  return undefined;
}
