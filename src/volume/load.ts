import type { Descriptor } from '../oci/descriptor.ts';
import { isDigest, type Digest } from '../oci/digest.ts';
import { type LayoutEntry, nameEntries } from '../oci/layout.ts';
import { maxManifestBytes, parseManifest } from '../oci/manifest.ts';
import { ociIndex } from '../oci/media-type.ts';
import { formatReference, parseReference, type Reference } from '../oci/reference.ts';
import { ArtifactError } from '../util/error.ts';
import { doInSlices } from '../util/pace.ts';
import { toLack } from './absence.ts';
import type { Authority } from './authority.ts';
import type { Collector } from './collector.ts';
import type { Blobs } from './contracts/store.ts';
import type { Archive, ArchiveEntry } from './contracts/unpacker.ts';
import { createHashingSink } from './hashing-sink.ts';
import type { Holds } from './holds.ts';
import type { Naming } from './naming.ts';
import type { Pull } from './pull.ts';
import type { Resolved } from './usecases.ts';

/** What a layout has given so far. */
type Intake = {
  /** Blobs that it has, and those of them that the cache had not. */
  readonly blobs: Set<Digest>;
  readonly written: Set<Digest>;
  /** Its index.json, once that has come, and what it gives names. */
  index?: { readonly bytes: Uint8Array; readonly entries: readonly LayoutEntry[] };
  readonly leases: DisposableStack;
};

/**
 * Takes an OCI image layout (OCI image spec, image-layout.md) from a tar stream into the cache, names what its
 * index.json lists, and builds the views for this node's platform, as a pull would. Names are chosen as soon as the
 * index.json has come; where it comes first, nothing is stored before.
 *
 * @throws ArtifactError `invalid` for what is no layout or leaves a name open; `corrupt` for a blob that is not its name;
 * `not-found` naming a layer that it lacks. Names that were there before are then what they were, and what was stored is
 * removed.
 */
export async function loadLayout(
  world: {
    readonly archive: Archive;
    readonly blobs: Blobs;
    readonly holds: Holds;
    readonly pull: Pull;
    readonly naming: Naming;
    readonly authority: Authority;
    readonly collector: Pick<Collector, 'settle'>;
    readonly hash: (bytes: Uint8Array) => Digest;
  },
  tar: AsyncIterable<Uint8Array>,
  given: string | undefined,
  signal: AbortSignal,
): Promise<readonly Resolved[]> {
  const { archive, blobs, holds, pull, naming, authority } = world;
  // Before gigabytes are read for a name that cannot be used.
  const wanted = given === undefined ? undefined : parseName(given);
  const intake: Intake = { blobs: new Set(), written: new Set(), leases: new DisposableStack() };

  const read = async (): Promise<Required<Intake>['index']> => {
    for await (const entry of archive.read(tar, signal)) {
      const path = entry.path.replace(/^\.\//, '');
      const digest = blobDigest(path);
      if (path === 'index.json') await readIndex(intake, await readSmall(entry), wanted, signal);
      else if (digest !== undefined) await takeBlob(digest, entry);
    }
    if (intake.index !== undefined) return intake.index;
    throw new ArtifactError(
      'invalid',
      'there is no index.json in it, so it is not an OCI image layout; write one with `oras copy --to-oci-layout` or `skopeo copy docker://… oci:…`',
    );
  };

  const takeBlob = async (digest: Digest, entry: ArchiveEntry): Promise<void> => {
    intake.leases.use(await holds.hold([digest]));
    const descriptor = { mediaType: '', digest, size: entry.size, annotations: {} };
    if ((await blobs.size(digest)) !== undefined) {
      // Whoever brings it shows that they have it: what is here may be another's.
      const given = createHashingSink(descriptor);
      for await (const chunk of entry.content) {
        signal.throwIfAborted();
        given.write(chunk);
      }
      given.verified();
      intake.blobs.add(digest);
      return;
    }
    intake.blobs.add(digest);
    intake.written.add(digest);
    await using ingest = await blobs.ingest(descriptor, 'an archive', signal);
    ingest.restart();
    for await (const chunk of entry.content) ingest.write(chunk);
    await ingest.verify();
    await ingest.commit();
  };

  const toDescriptor = async (
    descriptor: LayoutEntry['descriptor'],
    bytes: Uint8Array,
  ): Promise<Descriptor> => {
    if (descriptor !== 'index.json') return descriptor;
    const digest = world.hash(bytes);
    intake.leases.use(await holds.hold([digest]));
    if ((await blobs.size(digest)) === undefined) intake.written.add(digest);
    await blobs.put(digest, bytes);
    return { mediaType: ociIndex, digest, size: bytes.length, annotations: {} };
  };

  const name = async (reference: Reference, descriptor: Descriptor): Promise<Resolved> => {
    const text = formatReference(reference);
    intake.leases.use(await holds.hold([descriptor.digest]));
    if ((await blobs.size(descriptor.digest)) === undefined)
      throw toLack(`the manifest ${descriptor.digest} of ${text}`);
    const brought = new Set([...intake.blobs, descriptor.digest]);
    using arrival = await pull.pull(
      {
        reference: text,
        pinned: descriptor.digest,
        pullPolicy: 'Never',
        selection: { unpack: 'auto', include: [], exclude: [] },
        secrets: {},
        caller: 'administrator',
        brought,
      },
      () => undefined,
      signal,
    );
    // Only now: who vouches for a repository opens what the cache has of it to every pod, and policies may refuse this.
    await authority.vouch(reference, [...brought]);
    await naming.record({ reference, descriptor, authorised: 'local' }, arrival.holds);
    return { reference: text, descriptor, cached: true };
  };

  try {
    const { bytes, entries } = await read();
    const results: Resolved[] = [];
    for (const { reference, descriptor } of entries)
      results.push(await name(reference, await toDescriptor(descriptor, bytes)));
    return results;
  } finally {
    intake.leases.dispose();
    // What could not be removed is for collection.
    await world.collector.settle(intake.written).catch(() => undefined);
  }
}

async function readIndex(
  intake: Intake,
  bytes: Uint8Array,
  wanted: Reference | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (intake.index !== undefined) {
    if (Buffer.compare(intake.index.bytes, bytes) === 0) return;
    throw new ArtifactError('invalid', 'the archive has two files index.json that differ; write it again');
  }
  const index = await doInSlices(parseManifest(bytes, ociIndex, 'the layout'), signal);
  if (index.kind !== 'index')
    throw new ArtifactError('invalid', 'the index.json of the layout is not an index');
  intake.index = { bytes, entries: nameEntries(index, wanted) };
}

function blobDigest(path: string): Digest | undefined {
  const match = /^blobs\/([^/]+)\/([^/]+)$/.exec(path);
  const digest = `${match?.[1]}:${match?.[2]}`;
  return isDigest(digest) ? digest : undefined;
}

async function readSmall(entry: ArchiveEntry): Promise<Uint8Array> {
  if (entry.size > maxManifestBytes)
    throw new ArtifactError(
      'invalid',
      `${entry.path} has ${entry.size} bytes; ${maxManifestBytes} are the most that is read`,
    );
  const chunks: Uint8Array[] = [];
  for await (const chunk of entry.content) chunks.push(chunk.slice());
  return Buffer.concat(chunks);
}

/** What a person calls it. @throws ArtifactError `invalid` for what is not a full reference. */
function parseName(text: string): Reference {
  const parsed = parseReference(text);
  if (parsed.kind === 'full') return parsed.reference;
  throw new ArtifactError(
    'invalid',
    `"${text}" is a short name, and a layout needs a full reference; write registry/repository:tag`,
  );
}
