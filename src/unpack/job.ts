import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { algorithmOf, toDigest, type Digest } from '../oci/digest.ts';
import { quoteName } from '../oci/name.ts';
import type { TocSummary } from '../oci/toc.ts';
import { ArtifactError } from '../util/error.ts';
import { openBodyWriter } from './body-writer.ts';
import { inspectFile, readUncompressed } from './compression.ts';
import { createExtraction } from './extraction.ts';
import { boundBytes, type UnpackLimits } from './limits.ts';
import { openTocWriter } from './toc-writer.ts';
import { openXattrWriter, type SetXattrs } from './xattr-batch.ts';

/** One layer to unpack: a verified file, its digest, and an empty folder for bodies and table of contents. Plain data: it crosses threads. */
export type UnpackJob = {
  readonly source: string;
  readonly digest: Digest;
  readonly into: string;
  readonly limits: UnpackLimits;
};

/**
 * Unpacks a layer: uncompresses, hashes, reads the tar, writes the bodies and their table, all in one pass and in memory that does
 * not grow with the layer. What is in `into` after a failure is the caller's to remove.
 *
 * @throws ArtifactError `unmountable` naming layer and entry; `exhausted` when the disk is full.
 */
export async function unpackLayer(
  { source, digest, into, limits }: UnpackJob,
  setXattrs: SetXattrs,
  signal: AbortSignal,
): Promise<TocSummary> {
  const label = `layer ${digest}`;
  const file = inspectFile(source);
  const bound = boundBytes(limits, file);
  const dropped = new Map<string, number>();
  const onDropped = (name: string): void => void dropped.set(name, (dropped.get(name) ?? 0) + 1);
  using toc = openTocWriter(into);
  await using small = openBodyWriter(into);
  const xattrs = openXattrWriter(into, setXattrs, onDropped);
  using extraction = createExtraction({
    into,
    small,
    label,
    maxEntries: limits.maxEntries,
    bound,
    onEntry(entry) {
      toc.add(entry);
      xattrs.add(entry);
    },
    onDropped,
  });

  // The digest of a plain tar is its diffId, and was verified with the blob.
  const isVerified = file.compression === 'none' && algorithmOf(digest) === 'sha256';
  const sha256 = createHash('sha256');
  let read = 0;
  for await (const chunk of readUncompressed(source, file, label)) {
    await nextTurn(); // in which the signal can come
    signal.throwIfAborted();
    read += chunk.length;
    if (read > bound.bytes) throw new ArtifactError('unmountable', `${label} ${bound.excess}`);
    if (!isVerified) sha256.update(chunk);
    extraction.write(chunk);
    const setting = xattrs.flush();
    if (setting !== undefined) await setting;
  }
  extraction.end();
  await xattrs.finish();
  await small.finish();
  const diffId = isVerified ? digest : toDigest('sha256', sha256.digest('hex'));
  return toc.end({ digest, diffId, notes: noteOf(dropped, label) });
}

function noteOf(dropped: ReadonlyMap<string, number>, label: string): string[] {
  if (dropped.size === 0) return [];
  const shown = [...dropped].slice(0, 5).map(([name, count]) => `${quoteName(name)} of ${count}`);
  const more = dropped.size > 5 ? ` and ${dropped.size - 5} more` : '';
  return [`${label}: left out attributes of entries: ${shown.join(', ')}${more}`];
}
