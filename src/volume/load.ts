import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, isDigest } from '../oci/digest.ts';
import {
  type LayoutEntry,
  layoutFile,
  nameEntries,
  parseLayoutName,
  verifyLayoutFile,
} from '../oci/layout.ts';
import { maxManifestBytes, ociIndex, parseManifest } from '../oci/manifest.ts';
import type { LayerPlan } from '../oci/plan.ts';
import { formatReference, type Reference } from '../oci/reference.ts';
import type { Disk } from '../ports/disk.ts';
import type { Blobs } from '../ports/store.ts';
import type { Archive, ArchiveFile } from '../ports/unpacker.ts';
import type { Resolved } from '../ports/usecases.ts';
import { createByteCollector } from '../util/byte-collector.ts';
import { ArtifactError } from '../util/error.ts';
import { doInSlices } from '../util/pace.ts';
import type { AccessCheck } from './access/access-check.ts';
import { nameDocument, openPossession } from './access/access-check.ts';
import type { Collector } from './cache/collector.ts';
import type { DiskSpace } from './cache/disk-space.ts';
import { measureFullDisk } from './cache/full-disk.ts';
import type { Leases } from './cache/leases.ts';
import { findParts } from './pull/artifact-parts.ts';
import type { Naming } from './pull/naming.ts';
import type { Pull } from './pull/pull.ts';
import { createHashingSink } from './sinks/hashing-sink.ts';

/** What was read from a layout so far. */
type Intake = {
  /** Its blobs, and those of them that were not cached. */
  readonly blobs: Set<Digest>;
  readonly written: Set<Digest>;
  /** Its index.json and the entries to name, once it was read. */
  index?: { readonly bytes: Uint8Array; readonly entries: readonly LayoutEntry[] };
  /** Whether its oci-layout file was read. */
  isLayout: boolean;
  readonly leases: DisposableStack;
};

/**
 * Loads an OCI image layout (OCI image spec, image-layout.md) from a tar stream into the cache, names what its
 * index.json lists, and builds the views for this node's platform, as a pull would. Names are chosen as soon as
 * index.json was read; if it comes first, nothing is stored before.
 *
 * @throws ArtifactError `invalid` for a stream that is no layout or is ambiguous; `corrupt` for a blob that does not
 * match its digest; `not-found` naming a missing digest; `exhausted` if there is no space. After an error, existing
 * names are unchanged, and what was stored is removed.
 */
export async function loadLayout(
  world: {
    readonly archive: Archive;
    readonly blobs: Blobs;
    readonly leases: Leases;
    readonly pull: Pull;
    readonly naming: Naming;
    readonly access: AccessCheck;
    readonly collector: Pick<Collector, 'settle'>;
    readonly room: Pick<DiskSpace, 'reserve'>;
    readonly disk: Disk;
    readonly hash: (bytes: Uint8Array) => Digest;
  },
  tar: AsyncIterable<Uint8Array>,
  given: string | undefined,
  signal: AbortSignal,
): Promise<readonly Resolved[]> {
  const { archive, blobs, leases, pull, naming, access, room } = world;
  // Before gigabytes are read for an invalid name.
  const wanted = given === undefined ? undefined : parseLayoutName(given);
  const intake: Intake = {
    blobs: new Set(),
    written: new Set(),
    isLayout: false,
    leases: new DisposableStack(),
  };

  const read = async (): Promise<Required<Intake>['index']> => {
    for await (const entry of archive.read(tar, signal)) {
      const path = entry.path.replace(/^\.\//, '');
      const digest = blobDigest(path);
      if (digest === undefined && path !== 'index.json' && path !== layoutFile) continue;
      if (entry.kind === 'other') throw toRefusal(path, entry.what);
      if (digest !== undefined) await takeBlob(digest, entry);
      else if (path === 'index.json') await readIndex(intake, await readSmall(entry), wanted, signal);
      else {
        verifyLayoutFile(await readSmall(entry));
        intake.isLayout = true;
      }
    }
    if (intake.index === undefined) throw toNoLayout('index.json');
    if (!intake.isLayout) throw toNoLayout(layoutFile);
    return intake.index;
  };

  const takeBlob = async (digest: Digest, entry: ArchiveFile): Promise<void> => {
    intake.leases.use(await leases.hold([digest]));
    const descriptor = { mediaType: '', digest, size: entry.size, annotations: {} };
    if ((await blobs.size(digest)) !== undefined) {
      // Hashes the blob even if it is cached: the cached one may belong to others, and only these bytes prove that the
      // caller has it.
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
    try {
      const label = `blob ${digest} of the layout`;
      const blob: LayerPlan = { form: 'file', name: '', label, descriptor };
      const left = (): number => descriptor.size - ingest.offset;
      using _room = await room.reserve(label, [blob], [blob], left, signal);
      for await (const chunk of entry.content) ingest.write(chunk);
      await ingest.verify();
    } catch (thrown) {
      const left = descriptor.size - ingest.offset;
      await ingest.drop(); // nothing will resume it
      throw await measureFullDisk(thrown, world.disk, `blob ${digest}`, left);
    }
    await ingest.commit();
  };

  const toDescriptor = async (
    descriptor: LayoutEntry['descriptor'],
    bytes: Uint8Array,
  ): Promise<Descriptor> => {
    if (descriptor !== 'index.json') return descriptor;
    const digest = world.hash(bytes);
    intake.leases.use(await leases.hold([digest]));
    if ((await blobs.size(digest)) === undefined) intake.written.add(digest);
    intake.blobs.add(digest);
    await blobs.put(digest, bytes);
    return { mediaType: ociIndex, digest, size: bytes.length, annotations: {} };
  };

  const name = async (reference: Reference, descriptor: Descriptor): Promise<Resolved> => {
    const text = formatReference(reference);
    intake.leases.use(await leases.hold([descriptor.digest]));
    const { blobs: brought } = intake;
    if ((await blobs.size(descriptor.digest)) === undefined) {
      const { missing } = openPossession({ reference: text, caller: 'administrator', brought }, () => false);
      throw missing(nameDocument('manifest', text), descriptor.digest);
    }
    using pulled = await pull.pull(
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
    // Only now, because this gives every pod access to this content, and policies may refuse it. A layout may contain
    // other artifacts, which other pods may mount.
    const parts = await findParts(descriptor, digest => brought.has(digest), blobs, signal);
    await access.grant(reference, [...parts]);
    await naming.record({ reference, descriptor, authorised: 'local' }, pulled.holds);
    const { data: _, ...shown } = descriptor;
    return { reference: text, descriptor: shown, cached: true };
  };

  try {
    const { bytes, entries } = await read();
    const results: Resolved[] = [];
    for (const { reference, descriptor } of entries)
      results.push(await name(reference, await toDescriptor(descriptor, bytes)));
    return results;
  } finally {
    intake.leases.dispose();
    // Garbage collection removes the rest.
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

async function readSmall(entry: ArchiveFile): Promise<Uint8Array> {
  if (entry.size > maxManifestBytes)
    throw new ArtifactError(
      'invalid',
      `${entry.path} has ${entry.size} bytes; ${maxManifestBytes} are the most that is read`,
    );
  const kept = createByteCollector(entry.size);
  for await (const chunk of entry.content) kept.add(chunk);
  return kept.bytes();
}

function toNoLayout(name: string): ArtifactError {
  const advice = 'write one with `oras copy --to-oci-layout` or `skopeo copy docker://… oci:…`';
  const why = `it has no ${name}, so it is not a whole OCI image layout`;
  return new ArtifactError('invalid', `${why}; ${advice}`);
}

/** An entry of a tar that is not a file. Its content may be elsewhere. */
function toRefusal(path: string, what: string): ArtifactError {
  const advice = 'write the tar again with `tar --hard-dereference --dereference`';
  return new ArtifactError('invalid', `${path} is ${what} in the tar, not a regular file; ${advice}`);
}
