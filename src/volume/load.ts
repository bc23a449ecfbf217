import type { Descriptor } from '../oci/descriptor.ts';
import { isDigest, type Digest } from '../oci/digest.ts';
import { withoutData } from '../oci/embedded-data.ts';
import { maxManifestBytes, parseManifest, type Index } from '../oci/manifest.ts';
import { ociIndex } from '../oci/media-type.ts';
import { formatReference, parseReference, type Reference } from '../oci/reference.ts';
import { ArtifactError } from '../util/error.ts';
import { toLack } from './absence.ts';
import type { Authority } from './authority.ts';
import type { Names } from './contracts/records.ts';
import type { Blobs, Views } from './contracts/store.ts';
import type { Archive, ArchiveEntry } from './contracts/unpacker.ts';
import type { Holds } from './holds.ts';
import type { Pull } from './pull.ts';
import type { Resolved } from './usecases.ts';

/**
 * Takes an OCI image layout (OCI image spec, image-layout.md) from a tar stream into the cache, names what its
 * index.json lists, and builds the views for this node's platform, as a pull would.
 *
 * @throws ArtifactError `invalid` for what is no layout or leaves a name open; `corrupt` for a blob that is not its name;
 * `not-found` naming a layer that it lacks. A name that was there before is then what it was.
 */
export async function loadLayout(
  world: {
    readonly archive: Archive;
    readonly blobs: Blobs;
    readonly names: Names;
    readonly views: Views;
    readonly holds: Holds;
    readonly pull: Pull;
    readonly authority: Authority;
    readonly hash: (bytes: Uint8Array) => Digest;
  },
  tar: AsyncIterable<Uint8Array>,
  given: string | undefined,
  signal: AbortSignal,
): Promise<readonly Resolved[]> {
  const { archive, blobs, names, holds, pull, authority } = world;
  // Before gigabytes are read for a name that cannot be used.
  const wanted = given === undefined ? undefined : parseName(given);
  using held = new DisposableStack();
  const taken = new Set<Digest>();
  let indexBytes: Uint8Array | undefined;
  for await (const entry of archive.read(tar, signal)) {
    const path = entry.path.replace(/^\.\//, '');
    const digest = blobDigest(path);
    if (path === 'index.json') indexBytes = await readSmall(entry);
    else if (digest !== undefined) {
      held.use(await holds.hold([digest]));
      taken.add(digest);
      await takeBlob(blobs, digest, entry, signal);
    }
  }
  if (indexBytes === undefined) {
    throw new ArtifactError(
      'invalid',
      'there is no index.json in it, so it is not an OCI image layout; write one with `oras copy --to-oci-layout` or `skopeo copy docker://… oci:…`',
    );
  }
  const index = parseManifest(indexBytes, ociIndex, 'the layout');
  if (index.kind !== 'index')
    throw new ArtifactError('invalid', 'the index.json of the layout is not an index');
  const results: Resolved[] = [];
  for (const [name, descriptor] of await nameEntries(index, indexBytes, wanted, world)) {
    held.use(await holds.hold([descriptor.digest]));
    const reference = formatReference(name);
    if ((await blobs.size(descriptor.digest)) === undefined)
      throw toLack(`the manifest ${descriptor.digest} of ${reference}`);
    await authority.vouch(name, [...taken, descriptor.digest]);
    const former = await names.find(reference);
    await names.put({
      reference,
      descriptor: withoutData(descriptor),
      resolvedAt: Date.now(),
      authorised: 'local',
    });
    try {
      using arrival = await pull.pull(
        {
          reference,
          pullPolicy: 'Never',
          selection: { unpack: 'auto', include: [], exclude: [] },
          secrets: {},
          caller: 'administrator',
        },
        () => undefined,
        signal,
      );
      results.push({ reference: formatReference(arrival.reference), descriptor, cached: true });
    } catch (thrown) {
      await (former === undefined ? names.remove(reference) : names.put(former));
      throw thrown;
    }
  }
  held.dispose();
  await dropUnused(world, taken);
  return results;
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

async function takeBlob(
  blobs: Blobs,
  digest: Digest,
  entry: ArchiveEntry,
  signal: AbortSignal,
): Promise<void> {
  if ((await blobs.size(digest)) !== undefined) {
    for await (const _ of entry.content) signal.throwIfAborted();
    return;
  }
  await using ingest = await blobs.ingest(
    { mediaType: '', digest, size: entry.size, annotations: {} },
    'an archive',
    signal,
  );
  ingest.restart();
  for await (const chunk of entry.content) ingest.write(chunk);
  await ingest.verify();
  await ingest.commit();
}

/** Full references and what they name. One reference for several entries names the index itself, for its platforms. */
async function nameEntries(
  index: Index,
  bytes: Uint8Array,
  wanted: Reference | undefined,
  { blobs, hash }: { readonly blobs: Blobs; readonly hash: (bytes: Uint8Array) => Digest },
): Promise<readonly (readonly [Reference, Descriptor])[]> {
  const [only, ...others] = index.manifests;
  if (only === undefined) throw new ArtifactError('invalid', 'the index.json of the layout lists nothing');
  if (wanted !== undefined) {
    if (others.length === 0) return [[wanted, only]];
    const digest = hash(bytes);
    await blobs.put(digest, bytes);
    return [[wanted, { mediaType: ociIndex, digest, size: bytes.length, annotations: {} }]];
  }
  return index.manifests.map(entry => {
    const given =
      entry.annotations['io.containerd.image.name'] ?? entry.annotations['org.opencontainers.image.ref.name'];
    const name = given === undefined ? undefined : fullName(given);
    if (name !== undefined) return [name, entry] as const;
    throw new ArtifactError(
      'invalid',
      `the layout calls ${entry.digest} ${given === undefined ? 'nothing' : JSON.stringify(given)}, which is no full reference; give one beside the layout: registry/repository:tag`,
    );
  });
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

function fullName(text: string): Reference | undefined {
  try {
    const parsed = parseReference(text);
    return parsed.kind === 'full' ? parsed.reference : undefined;
  } catch {
    return undefined;
  }
}

/** Compressed layers that were unpacked, and other platforms' blobs, are of no use to any view. */
async function dropUnused(
  world: { readonly views: Views; readonly blobs: Blobs; readonly holds: Holds },
  taken: ReadonlySet<Digest>,
): Promise<void> {
  const used = new Set((await world.views.list()).flatMap(view => view.blobs));
  for (const digest of taken) {
    if (!used.has(digest)) await world.holds.remove(digest, () => world.blobs.remove(digest));
  }
}
