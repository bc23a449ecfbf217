import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import {
  type Index,
  type Manifest,
  maxManifestBytes,
  needsConfig,
  parseDiffIds,
  parseManifest,
} from '../../oci/manifest.ts';
import { type Platform, selectPlatform } from '../../oci/platform.ts';
import type { Content } from '../../ports/registry.ts';
import type { Blobs } from '../../ports/store.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { createFairSlots, type Shares, type Tenants } from '../../util/fair-slots.ts';
import { createRecall } from '../../util/memo.ts';
import { createSharedTurns } from '../../util/mutex.ts';
import { doInSlices } from '../../util/pace.ts';
import { receive } from '../../util/token-bucket.ts';
import type { AdmittedContent, AdmittedReader, Fetched } from '../access/admitted-content.ts';
import type { Integrity } from '../cache/integrity.ts';
import type { Bandwidth } from './bandwidth.ts';
import type { Selected } from './view-plan.ts';

/**
 * Where documents come from, and for which tenants. Requests of one `registry` share fetches, and never wait
 * for those of another.
 */
export type Documents = {
  readonly content: Pick<
    AdmittedContent,
    'registry' | 'shownBy' | 'admit' | 'fetchDocument' | 'note' | 'save'
  >;
  readonly tenants: Tenants;
  /** Called with each digest before it is read, so that it is leased. */
  hold(digest: Digest): Promise<void>;
};

export type ManifestLoader = {
  /**
   * Follows a descriptor through indexes to the manifest for a platform, and reads the config if the manifest could be
   * a container image. Missing documents are fetched, verified and stored.
   *
   * @throws ArtifactError `unmountable` if there is nothing for the platform or a document is malformed.
   */
  select(
    descriptor: Descriptor,
    platform: Platform,
    label: string,
    source: Documents,
    signal: AbortSignal,
  ): Promise<Selected>;
};

/** Deeper nesting of indexes has no honest use. */
const maxDepth = 4;
/** Bytes of remembered documents and configs, as JSON. Parsed, they take several times as much memory. */
const rememberedBytes = 4 * 1024 * 1024;

/** Concurrent fetches. */
const requestShares: Shares = { total: 32, perRegistry: 8 };

/**
 * Few documents are larger. These take up to 4 MiB of bytes and several times as much parsed, so fewer are fetched at
 * once.
 */
const largeBytes = 256 * 1024;
const largeShares: Shares = { total: 8, perRegistry: 4 };

/** Remembers parsed documents, so that a repeated publish reads no blob. */
export function createManifestLoader(world: {
  readonly blobs: Pick<Blobs, 'size' | 'put'>;
  readonly reader: AdmittedReader;
  readonly integrity: Pick<Integrity, 'examine' | 'distrust'>;
  /** Undefined: downloads have no bound. */
  readonly bandwidth: Bandwidth | undefined;
}): ManifestLoader {
  const { blobs, reader, integrity, bandwidth } = world;
  const documents = createRecall<string, Index | Manifest>(rememberedBytes, rememberedBytes / 16);
  const configs = createRecall<Digest, { readonly diffIds: readonly string[] | undefined }>(
    rememberedBytes,
    rememberedBytes / 16,
  );
  const fetching = createSharedTurns();
  const requests = createFairSlots(requestShares);
  const larges = createFairSlots(largeShares);

  /** Held while a large document is fetched and parsed. Holders of a turn or a request never wait for it. */
  const acquireLarge = async (
    { size }: Descriptor,
    { content, tenants }: Documents,
    signal: AbortSignal,
  ): Promise<Disposable | undefined> =>
    size > largeBytes ? await larges.acquire(content.registry, tenants, signal) : undefined;

  /** Concurrent callers of one document share a request. If it fails, each continues with its own credential. */
  const bytesOf = async (
    wanted: Content,
    label: string,
    { content, tenants }: Documents,
    signal: AbortSignal,
  ): Promise<Uint8Array> => {
    const { kind, descriptor } = wanted;
    // A cached layer may have gigabytes, and can be listed as a config.
    if (kind === 'blob' && descriptor.size > maxManifestBytes) {
      throw new ArtifactError(
        'unmountable',
        `the config of ${label} has ${descriptor.size} bytes; ${maxManifestBytes} are the most that is read`,
      );
    }
    const item = { kind: 'blobs', digest: descriptor.digest } as const;
    for (let attempt = 0; ; attempt++) {
      {
        // A cached document may not be recorded yet: the caller that fetches it has the turn until then.
        using turn = await fetching.take(`${descriptor.digest} ${content.registry}`, tenants, signal);
        await integrity.examine([item], signal);
        if ((await blobs.size(descriptor.digest)) !== descriptor.size) {
          const fetchFairly = async (): Promise<Fetched> => {
            using slowed = await bandwidth?.slow(descriptor.size, turn.tenants, signal);
            using _request = await requests.acquire(content.registry, turn.tenants, signal);
            const fetched = await content.fetchDocument(wanted, signal);
            // It has come as a whole: what follows waits for its time.
            if (slowed !== undefined) void receive(slowed.allowance, fetched.bytes.length);
            return fetched;
          };
          const { bytes, servedBy } = embedded(descriptor, content) ?? (await fetchFairly());
          await blobs.put(descriptor.digest, bytes);
          content.note(descriptor.digest, servedBy);
          await content.save();
          return bytes;
        }
      }
      const admitted = await content.admit(wanted, signal);
      try {
        return await reader.bytes(admitted);
      } catch (thrown) {
        // It stays if it cannot be quarantined because the disk is read-only.
        if (toArtifactError(thrown).code !== 'corrupt' || attempt > 0) throw thrown;
        integrity.distrust([item]); // then `examine` verifies it and removes it
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
    const bytes = await bytesOf({ kind: 'manifest', descriptor }, label, source, signal);
    const parsed = await doInSlices(parseManifest(bytes, descriptor.mediaType, label), signal);
    documents.keep(key, parsed, descriptor.size);
    return parsed;
  };

  const diffIdsOf = async (
    config: Descriptor,
    label: string,
    source: Documents,
    signal: AbortSignal,
  ): Promise<readonly string[] | undefined> => {
    const known = configs.get(config.digest);
    if (known !== undefined && (await isHeld(config.digest, signal))) {
      await source.content.admit({ kind: 'blob', descriptor: config }, signal);
      return known.diffIds;
    }
    using _large = await acquireLarge(config, source, signal);
    const bytes = await bytesOf({ kind: 'blob', descriptor: config }, label, source, signal);
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
          const diffIds = await diffIdsOf(found.config, label, source, signal);
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

/** Readers of the manifest may also read the content embedded in it. */
function embedded({ data }: Descriptor, { shownBy }: Pick<AdmittedContent, 'shownBy'>): Fetched | undefined {
  return data && { bytes: data, servedBy: shownBy };
}
