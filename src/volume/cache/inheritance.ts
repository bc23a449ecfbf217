import type { Digest } from '../../oci/digest.ts';
import { parseManifest } from '../../oci/manifest.ts';
import type { Names, Pins, Root, VolumeRecords } from '../../ports/records.ts';
import type { Blobs, Layers, Views } from '../../ports/store.ts';
import { doAtOnce } from '../../util/pace.ts';
import { isCached } from './items.ts';
import { contentOf } from './roots.ts';

/** Records that are written concurrently. They share commits of the disk's journal. */
const atOnce = 32;

/**
 * Adds the list of digests to records of an older version, at start and before any garbage collection: what their
 * manifests list, as far as it is cached, and for a volume what its view was built of.
 */
export async function inheritHolds(world: {
  readonly blobs: Pick<Blobs, 'read' | 'size'>;
  readonly layers: Pick<Layers, 'has'>;
  readonly views: Pick<Views, 'find'>;
  readonly volumes: Pick<VolumeRecords, 'list' | 'put'>;
  readonly pins: Pick<Pins, 'list' | 'put'>;
  readonly names: Pick<Names, 'list' | 'put'>;
}): Promise<void> {
  const { blobs, views, volumes, pins, names } = world;
  const known = new Map<Digest, Listed>();

  const read = async (document: Digest): Promise<Listed> => {
    const before = known.get(document);
    if (before !== undefined) return before;
    // A manifest that is missing or unreadable cannot be mounted anyway.
    const listed = await blobs
      .read(document)
      .then(toListed)
      .catch(() => nothing);
    known.set(document, listed);
    return listed;
  };

  /** @param start indexes and manifests. */
  const reachedFrom = async (start: readonly Digest[]): Promise<readonly Digest[]> => {
    const documents = new Set(start);
    const contents = new Set<Digest>();
    for (const document of documents) {
      const listed = await read(document);
      for (const child of listed.documents) if (await isCached(world, child)) documents.add(child);
      for (const child of listed.contents) if (await isCached(world, child)) contents.add(child);
    }
    return [...documents, ...contents];
  };

  const fill = async <T extends Root>(
    records: readonly T[],
    put: (record: T) => Promise<void>,
    holdsOf: (record: T) => Promise<readonly Digest[]>,
  ): Promise<void> => {
    const old = records.filter(({ holds }) => holds.length === 0);
    for (let at = 0; at < old.length; at += atOnce) {
      const some = old
        .slice(at, at + atOnce)
        .map(async record => put({ ...record, holds: [...new Set(await holdsOf(record))] }));
      await Promise.all(some);
    }
  };

  await fill(await volumes.list(), volumes.put, async ({ digest, manifest, view }) => {
    const built = await views.find(view);
    return [...(await reachedFrom([digest, manifest])), ...(built === undefined ? [] : contentOf(built))];
  });
  await fill(await pins.list(), pins.put, ({ digest }) => reachedFrom([digest]));
  await fill(await names.list(), names.put, ({ descriptor }) => reachedFrom([descriptor.digest]));
}

/** What an index or a manifest lists. */
type Listed = { readonly documents: readonly Digest[]; readonly contents: readonly Digest[] };
const nothing: Listed = { documents: [], contents: [] };

function toListed(bytes: Uint8Array): Listed {
  const document = doAtOnce(parseManifest(bytes, '', 'a record'));
  return document.kind === 'index'
    ? { documents: document.manifests.map(({ digest }) => digest), contents: [] }
    : { documents: [], contents: [document.config, ...document.layers].map(({ digest }) => digest) };
}
