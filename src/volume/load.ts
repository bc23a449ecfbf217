import type { Descriptor } from '../oci/descriptor.ts';
import { isDigest, type Digest } from '../oci/digest.ts';
import { layoutFile, type LayoutEntry, nameEntries, verifyLayoutFile } from '../oci/layout.ts';
import { maxManifestBytes, parseManifest } from '../oci/manifest.ts';
import { ociIndex } from '../oci/media-type.ts';
import type { LayerPlan } from '../oci/plan.ts';
import { formatReference, parseReference, type Reference } from '../oci/reference.ts';
import { ArtifactError } from '../util/error.ts';
import { doInSlices } from '../util/pace.ts';
import { nameDocument, openPossession } from './pull/not-cached.ts';
import type { AccessCheck } from './access/access-check.ts';
import type { Collector } from './cache/collector.ts';
import type { Blobs } from '../ports/store.ts';
import type { Archive, ArchiveFile } from '../ports/unpacker.ts';
import { createHashingSink } from './sinks/hashing-sink.ts';
import type { Leases } from './cache/leases.ts';
import type { Naming } from './pull/naming.ts';
import type { Pull } from './pull/pull.ts';
import type { Resolved } from '../ports/usecases.ts';
import type { DiskSpace } from './cache/disk-space.ts';

/** What a layout has given so far. */
type Intake = {
  /** Blobs that it has, and those of them that the cache had not. */
  readonly blobs: Set<Digest>;
  readonly written: Set<Digest>;
  /** Its index.json, once that has come, and what it gives names. */
  index?: { readonly bytes: Uint8Array; readonly entries: readonly LayoutEntry[] };
  /** Whether its oci-layout has come, too. */
  isLayout: boolean;
  readonly leases: DisposableStack;
};

/**
 * Takes an OCI image layout (OCI image spec, image-layout.md) from a tar stream into the cache, names what its
 * index.json lists, and builds the views for this node's platform, as a pull would. Names are chosen as soon as the
 * index.json has come; where it comes first, nothing is stored before.
 *
 * @throws ArtifactError `invalid` for what is no layout or leaves a name open; `corrupt` for a blob that is not its name;
 * `not-found` naming a digest that it lacks; `exhausted` where there is no room. Names that were there before are then what they were, and what was stored is
 * removed.
 */
export async function loadLayout(
  world: {
    readonly archive: Archive;
    readonly blobs: Blobs;
    readonly holds: Leases;
    readonly pull: Pull;
    readonly naming: Naming;
    readonly access: AccessCheck;
    readonly collector: Pick<Collector, 'settle'>;
    readonly room: Pick<DiskSpace, 'reserve'>;
    readonly hash: (bytes: Uint8Array) => Digest;
  },
  tar: AsyncIterable<Uint8Array>,
  given: string | undefined,
  signal: AbortSignal,
): Promise<readonly Resolved[]> {
  const { archive, blobs, holds, pull, naming, access, room } = world;
  // Before gigabytes are read for a name that cannot be used.
  const wanted = given === undefined ? undefined : parseName(given);
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
    try {
      const label = `blob ${digest} of the layout`;
      const blob: LayerPlan = { form: 'file', name: '', label, descriptor };
      const left = (): number => descriptor.size - ingest.offset;
      using _room = await room.reserve(label, [blob], [blob], left, signal);
      for await (const chunk of entry.content) ingest.write(chunk);
      await ingest.verify();
    } catch (thrown) {
      await ingest.drop(); // nobody goes on from there
      throw thrown;
    }
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
    intake.blobs.add(digest);
    await blobs.put(digest, bytes);
    return { mediaType: ociIndex, digest, size: bytes.length, annotations: {} };
  };

  const name = async (reference: Reference, descriptor: Descriptor): Promise<Resolved> => {
    const text = formatReference(reference);
    intake.leases.use(await holds.hold([descriptor.digest]));
    const { blobs: brought } = intake;
    if ((await blobs.size(descriptor.digest)) === undefined) {
      const { missing } = openPossession({ reference: text, caller: 'administrator', brought }, () => false);
      throw missing(nameDocument('manifest', text), descriptor.digest);
    }
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
    await access.vouch(reference, [...brought]);
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

async function readSmall(entry: ArchiveFile): Promise<Uint8Array> {
  if (entry.size > maxManifestBytes)
    throw new ArtifactError(
      'invalid',
      `${entry.path} has ${entry.size} bytes; ${maxManifestBytes} are the most that is read`,
    );
  const chunks: Uint8Array[] = [];
  for await (const chunk of entry.content) chunks.push(chunk.slice());
  return Buffer.concat(chunks);
}

function toNoLayout(name: string): ArtifactError {
  const advice = 'write one with `oras copy --to-oci-layout` or `skopeo copy docker://… oci:…`';
  const why = `there is no ${name} in it, so it is not a whole OCI image layout`;
  return new ArtifactError('invalid', `${why}; ${advice}`);
}

/** What a tar has in place of a file may be anything, and its content may be elsewhere. */
function toRefusal(path: string, what: string): ArtifactError {
  const advice = 'write the tar again with `tar --hard-dereference --dereference`';
  return new ArtifactError('invalid', `${path} is ${what} in the tar, not a regular file; ${advice}`);
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
