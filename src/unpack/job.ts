import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { algorithmOf, type Digest, hexOf, toDigest } from '../oci/digest.ts';
import type { DiskAmount } from '../ports/disk.ts';
import { type LayerForm, type TocSummary, tarBlock } from '../tree/toc.ts';
import { ArtifactError } from '../util/error.ts';
import { quoteName } from '../util/name.ts';
import { openBodyFiles } from './body-files.ts';
import { type AwaitBytes, inspectArriving, inspectFile, readUncompressed } from './compression.ts';
import { createExtraction } from './extraction.ts';
import { type Grow, openGrowth } from './growth.ts';
import { boundBytes, type UnpackLimits } from './limits.ts';
import { openTarFiles } from './tar-files.ts';
import { openTocWriter } from './toc-writer.ts';
import type { SetXattrs, XattrBatch } from './xattr-batch.ts';

/**
 * One layer to unpack: its file and digest, and an empty directory for bodies and table of contents; the digest of the
 * uncompressed tar, if that is the file; its size, if it still arrives. It is plain data that threads can exchange.
 */
export type UnpackJob = {
  readonly source: string;
  readonly diffId?: Digest | undefined;
  readonly arriving?: number | undefined;
  readonly digest: Digest;
  readonly into: string;
  readonly form: LayerForm;
  readonly limits: UnpackLimits;
};

/** What another thread does for this one. */
export type UnpackMeans = {
  readonly setXattrs: SetXattrs;
  readonly grow: Grow;
  readonly more: AwaitBytes;
};

/** The requests of a layer's thread to its parent. */
export type UnpackQuestion =
  | { readonly kind: 'xattrs'; readonly batch: XattrBatch }
  | { readonly kind: 'grow'; readonly more: DiskAmount; readonly written: DiskAmount }
  | { readonly kind: 'more'; readonly past: number };

/**
 * Unpacks a layer: uncompresses, hashes, parses the tar, and writes the bodies and their table, in one pass and in
 * memory that does not grow with the layer. After a failure, the caller removes the content of `into`.
 *
 * @throws ArtifactError `unmountable` naming layer and entry; `exhausted` when the disk is full.
 */
export async function unpackLayer(
  { source, diffId: known, arriving, digest, into, form, limits }: UnpackJob,
  { setXattrs, grow, more }: UnpackMeans,
  signal: AbortSignal,
): Promise<TocSummary> {
  const label = `layer ${digest}`;
  const file = arriving === undefined ? inspectFile(source) : await inspectArriving(source, arriving, more);
  const bound = boundBytes(limits, file);
  const dropped = new Map<string, number>();
  const onDropped = (name: string): void => countDropped(dropped, name);
  const growth = openGrowth(grow);
  using toc = openTocWriter(into);
  await using bodies = form === 'tar' ? openTarFiles(into) : openBodyFiles(into, setXattrs, onDropped);
  using extraction = createExtraction({
    bodies,
    label,
    maxEntries: limits.maxEntries,
    bound,
    onEntry(entry) {
      toc.add(entry);
      bodies.describe(entry);
    },
    onDropped,
  });

  // The digest of a plain tar is its diffId, and is verified with the blob.
  const isPlain = file.compression === 'none' && algorithmOf(digest) === 'sha256';
  const verified = known ?? (isPlain ? digest : undefined);
  const isVerified = verified !== undefined && (form === 'bodies' || file.size % tarBlock === 0);
  const sha256 = createHash('sha256');
  let read = 0;
  for await (const chunk of readUncompressed(source, file, label)) {
    await nextTurn(); // lets the signal arrive
    signal.throwIfAborted();
    if (read + chunk.length > bound.bytes) throw new ArtifactError('unmountable', `${label} ${bound.excess}`);
    if (!isVerified) sha256.update(chunk);
    const { most, present } = bodies.reach(read, chunk.length);
    const growing = growth.reach(most, () => present);
    if (growing !== undefined) await growing;
    read += chunk.length;
    bodies.receive(chunk);
    extraction.write(chunk);
    const flushing = bodies.flush();
    if (flushing !== undefined) await flushing;
  }
  extraction.end();
  const hexWith = (padding: Uint8Array): string =>
    isVerified ? hexOf(verified) : sha256.copy().update(padding).digest('hex');
  const files = await bodies.finish(hexWith);
  const diffId = verified ?? toDigest('sha256', hexWith(new Uint8Array()));
  return toc.end({ digest, diffId, notes: noteOf(dropped, label), ...(files !== undefined && { files }) });
}

/** The most names of dropped attributes that are counted, and the characters of each: more than are shown. */
const mostDropped = 1000;
const droppedLength = 256;

function countDropped(dropped: Map<string, number>, name: string): void {
  // A copy: a part of a text keeps the whole in memory.
  const short =
    name.length > droppedLength
      ? Buffer.from(name.slice(0, droppedLength), 'utf16le').toString('utf16le')
      : name;
  const count = dropped.get(short) ?? 0;
  if (count > 0 || dropped.size < mostDropped) dropped.set(short, count + 1);
}

function noteOf(dropped: ReadonlyMap<string, number>, label: string): string[] {
  if (dropped.size === 0) return [];
  const shown = [...dropped].slice(0, 5).map(([name, count]) => `${quoteName(name)} of ${count}`);
  const atLeast = dropped.size === mostDropped ? 'at least ' : '';
  const more = dropped.size > 5 ? ` and ${atLeast}${dropped.size - 5} more` : '';
  return [`${label}: left out attributes of entries: ${shown.join(', ')}${more}`];
}
