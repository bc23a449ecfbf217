import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { needsConfig, parseDiffIds, parseManifest, type Index, type Manifest } from '../../oci/manifest.ts';
import { selectPlatform, type Platform } from '../../oci/platform.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { createFairSlots } from '../../util/fair-slots.ts';
import { doInSlices } from '../../util/pace.ts';
import { createSharedTurns } from '../../util/shared-turns.ts';
import type { Tenants } from '../../util/tenants.ts';
import type { AdmittedContent, AdmittedReader, Fetched } from '../access/admitted-content.ts';
import type { Selected } from './view-plan.ts';
import type { Content } from '../../ports/registry.ts';
import type { Blobs } from '../../ports/store.ts';
import type { Integrity } from '../cache/integrity.ts';

/** Where documents come from, and for whom. Those of one place wait for each other's requests, and for nobody else's. */
export type Documents = {
  readonly content: Pick<AdmittedContent, 'place' | 'admit' | 'fetchDocument' | 'note' | 'save'>;
  readonly tenants: Tenants;
  /** Told of each before it is read, so that collection leaves it. */
  hold(digest: Digest): Promise<void>;
};

export type ManifestLoader = {
  /**
   * Follows a descriptor through its indexes to the manifest for a platform, and reads the config where the manifest
   * could be a container image's. Documents that are missing are fetched, verified and kept.
   *
   * @throws ArtifactError `unmountable` where there is nothing for the platform or a document is malformed.
   */
  select(
    descriptor: Descriptor,
    platform: Platform,
    label: string,
    source: Documents,
    signal: AbortSignal,
  ): Promise<Selected>;
};

/** An index of an index of an index is somebody's joke or attack. */
const maxDepth = 4;
/** Of documents and of configs, as they are in JSON; parsed they take some times as much. */
const rememberedBytes = 4 * 1024 * 1024;

/** What comes at once. */
const requestShares = { total: 32, perPlace: 8 };

/** Few documents are larger. These take up to 4 MiB in bytes and some times as much parsed, so that fewer come at once. */
const largeBytes = 256 * 1024;
const largeShares = { total: 8, perPlace: 4 };

/** Remembers what it parsed, so that publishing again reads no blob. */
export function createManifestLoader(world: {
  readonly blobs: Pick<Blobs, 'size' | 'put'>;
  readonly reader: AdmittedReader;
  readonly integrity: Pick<Integrity, 'examine' | 'distrust'>;
}): ManifestLoader {
  const { blobs, reader, integrity } = world;
  const documents = createRecall<string, Index | Manifest>();
  const configs = createRecall<Digest, { readonly diffIds: readonly string[] | undefined }>();
  const fetching = createSharedTurns();
  const requests = createFairSlots(requestShares);
  const larges = createFairSlots(largeShares);

  /** Held while a large document is fetched and parsed. Nobody who holds a turn or a request waits for it. */
  const acquireLarge = async (
    { size }: Descriptor,
    { content, tenants }: Documents,
    signal: AbortSignal,
  ): Promise<Disposable | undefined> =>
    size > largeBytes ? await larges.acquire(content.place, tenants, signal) : undefined;

  /** Many who want one document at once make one request, and each goes on with its own credential where that fails. */
  const bytesOf = async (
    wanted: Content,
    { content, tenants }: Documents,
    signal: AbortSignal,
  ): Promise<Uint8Array> => {
    const { descriptor } = wanted;
    const item = { kind: 'blobs', digest: descriptor.digest } as const;
    for (let attempt = 0; ; attempt++) {
      {
        // One that is held may not be learned of yet: who brings it has the turn until then.
        using turn = await fetching.take(`${descriptor.digest} ${content.place}`, tenants, signal);
        await integrity.examine([item], signal);
        if ((await blobs.size(descriptor.digest)) !== descriptor.size) {
          const fetchFairly = async (): Promise<Fetched> => {
            using _request = await requests.acquire(content.place, turn.tenants, signal);
            return await content.fetchDocument(wanted, signal);
          };
          const { bytes, place } = embedded(descriptor) ?? (await fetchFairly());
          await blobs.put(descriptor.digest, bytes);
          content.note(descriptor.digest, place);
          await content.save();
          return bytes;
        }
      }
      const admitted = await content.admit(wanted, signal);
      try {
        return await reader.bytes(admitted);
      } catch (thrown) {
        // One that cannot be put away, since the cache is only read, stays as it is.
        if (toArtifactError(thrown).code !== 'corrupt' || attempt > 0) throw thrown;
        integrity.distrust([item]); // and so it is examined, and no longer there
      }
    }
  };

  const isHeld = async (digest: Digest, signal: AbortSignal): Promise<boolean> => {
    await integrity.examine([{ kind: 'blobs', digest }], signal);
    return (await blobs.size(digest)) !== undefined;
  };

  const document = async (
    descriptor: Descriptor,
    label: string,
    source: Documents,
    signal: AbortSignal,
  ): Promise<Index | Manifest> => {
    const key = `${descriptor.digest} ${descriptor.mediaType}`;
    const known = documents.get(key);
    if (known !== undefined && (await isHeld(descriptor.digest, signal))) {
      await source.content.admit({ kind: 'manifest', descriptor }, signal);
      return known;
    }
    using _large = await acquireLarge(descriptor, source, signal);
    const bytes = await bytesOf({ kind: 'manifest', descriptor }, source, signal);
    const parsed = await doInSlices(parseManifest(bytes, descriptor.mediaType, label), signal);
    documents.keep(key, parsed, descriptor.size);
    return parsed;
  };

  const diffIdsOf = async (
    config: Descriptor,
    source: Documents,
    signal: AbortSignal,
  ): Promise<readonly string[] | undefined> => {
    const known = configs.get(config.digest);
    if (known !== undefined && (await isHeld(config.digest, signal))) {
      await source.content.admit({ kind: 'blob', descriptor: config }, signal);
      return known.diffIds;
    }
    using _large = await acquireLarge(config, source, signal);
    const bytes = await bytesOf({ kind: 'blob', descriptor: config }, source, signal);
    const diffIds = await doInSlices(parseDiffIds(bytes), signal);
    configs.keep(config.digest, { diffIds }, config.size);
    return diffIds;
  };

  return {
    async select(descriptor, platform, label, source, signal) {
      const documents: Content[] = [];
      let next = descriptor;
      for (let depth = 0; depth < maxDepth; depth++) {
        documents.push({ kind: 'manifest', descriptor: next });
        await source.hold(next.digest);
        const found = await document(next, label, source, signal);
        if (found.kind === 'manifest') {
          if (!needsConfig(found)) return { digest: next.digest, manifest: found, documents };
          await source.hold(found.config.digest);
          const diffIds = await diffIdsOf(found.config, source, signal);
          return {
            digest: next.digest,
            manifest: found,
            documents: [...documents, { kind: 'blob', descriptor: found.config }],
            ...(diffIds === undefined ? {} : { diffIds }),
          };
        }
        next = selectPlatform(found.manifests, platform, label);
      }
      throw new ArtifactError(
        'unmountable',
        `the index of ${label} leads through more than ${maxDepth} indexes; push it as one`,
      );
    },
  };
}

/** Whoever may read the manifest that carries it has it from there. */
function embedded({ data }: Descriptor): Fetched | undefined {
  return data && { bytes: data, place: {} };
}

/** Keeps the latest: a document of others must not take their place by its size. */
function createRecall<Key, Value>() {
  const kept = new Map<Key, { readonly value: Value; readonly size: number }>();
  let bytes = 0;
  const forget = (key: Key): void => {
    bytes -= kept.get(key)?.size ?? 0;
    kept.delete(key);
  };
  return {
    get: (key: Key): Value | undefined => kept.get(key)?.value,
    keep(key: Key, value: Value, size: number): void {
      if (size > rememberedBytes / 16) return;
      forget(key);
      kept.set(key, { value, size });
      bytes += size;
      for (const oldest of kept.keys()) {
        if (bytes <= rememberedBytes) break;
        forget(oldest);
      }
    },
  };
}
