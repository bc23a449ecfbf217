import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { algorithmOf, type Digest, toDigest } from '../oci/digest.ts';
import { bodiesPerDirectory } from '../tree/layer-files.ts';
import type { TocSummary } from '../tree/toc.ts';
import { ArtifactError } from '../util/error.ts';
import { quoteName } from '../util/name.ts';
import { openBodyWriter } from './body-writer.ts';
import { inspectFile, readUncompressed } from './compression.ts';
import { createExtraction } from './extraction.ts';
import { type Amount, type Grow, openGrowth } from './growth.ts';
import { boundBytes, type UnpackLimits } from './limits.ts';
import { openTocWriter } from './toc-writer.ts';
import { openXattrWriter, type SetXattrs, type XattrBatch } from './xattr-batch.ts';

/**
 * One layer to unpack: a verified file, its digest, and an empty directory for bodies and table of contents. It is
 * plain data that threads can exchange.
 */
export type UnpackJob = {
  readonly source: string;
  readonly digest: Digest;
  readonly into: string;
  readonly limits: UnpackLimits;
};

/** What another thread does for this one. */
export type UnpackMeans = { readonly setXattrs: SetXattrs; readonly grow: Grow };

/** The requests of a layer's thread to its parent. */
export type UnpackQuestion =
  | { readonly kind: 'xattrs'; readonly batch: XattrBatch }
  | { readonly kind: 'grow'; readonly more: Amount; readonly written: Amount };

/** A file occupies whole blocks. */
const blockSize = 4096;
/** No entry of a tar is shorter. */
const leastEntry = 512;

/**
 * Unpacks a layer: uncompresses, hashes, parses the tar, and writes the bodies and their table, in one pass and in
 * memory that does not grow with the layer. After a failure, the caller removes the content of `into`.
 *
 * @throws ArtifactError `unmountable` naming layer and entry; `exhausted` when the disk is full.
 */
export async function unpackLayer(
  { source, digest, into, limits }: UnpackJob,
  { setXattrs, grow }: UnpackMeans,
  signal: AbortSignal,
): Promise<TocSummary> {
  const label = `layer ${digest}`;
  const file = inspectFile(source);
  const bound = boundBytes(limits, file);
  const dropped = new Map<string, number>();
  const onDropped = (name: string): void => void dropped.set(name, (dropped.get(name) ?? 0) + 1);
  const growth = openGrowth(grow);
  let files = 0;
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
      if (entry.kind === 'file') files++;
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
    await nextTurn(); // lets the signal arrive
    signal.throwIfAborted();
    read += chunk.length;
    if (read > bound.bytes) throw new ArtifactError('unmountable', `${label} ${bound.excess}`);
    if (!isVerified) sha256.update(chunk);
    const most = files + Math.ceil(chunk.length / leastEntry);
    const wanted = { bytes: read + most * blockSize, inodes: countInodes(most) };
    const growing = growth.reach(wanted, () => ({
      bytes: read - chunk.length,
      inodes: files - small.waiting(),
    }));
    if (growing !== undefined) await growing;
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

/** The bodies, their directories, the layer's own, and its table. */
function countInodes(bodies: number): number {
  return bodies + Math.ceil(bodies / bodiesPerDirectory) + 2;
}

function noteOf(dropped: ReadonlyMap<string, number>, label: string): string[] {
  if (dropped.size === 0) return [];
  const shown = [...dropped].slice(0, 5).map(([name, count]) => `${quoteName(name)} of ${count}`);
  const more = dropped.size > 5 ? ` and ${dropped.size - 5} more` : '';
  return [`${label}: left out attributes of entries: ${shown.join(', ')}${more}`];
}
