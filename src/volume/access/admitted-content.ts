import type { Keyring, Waiting } from '../../oci/credential.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { maxManifestBytes } from '../../oci/manifest.ts';
import { formatRepository } from '../../oci/reference.ts';
import type { Content, Registry, ServedBy, Sink } from '../../ports/registry.ts';
import type { PullRequest } from '../../ports/request.ts';
import type { Resolution } from '../../ports/resolution.ts';
import type { Blobs, View, Views } from '../../ports/store.ts';
import { ArtifactError } from '../../util/error.ts';
import { contentsOf, type ViewPlan } from '../pull/view-plan.ts';
import { createMemorySink } from '../sinks/memory-sink.ts';
import type { AccessCheck } from './access-check.ts';

declare const proof: unique symbol;

/** Content that the caller may have. Only this file creates values of this type. */
export type Admitted<T> = T & { readonly [proof]: true };

/** Reads cached content for admitted callers. */
export type AdmittedReader = {
  bytes(content: Admitted<Content>): Promise<Uint8Array>;
  path(content: Admitted<Content>): string;
};

export function createAdmittedReader(blobs: Pick<Blobs, 'read' | 'path'>): AdmittedReader {
  return {
    bytes: ({ descriptor }) => blobs.read(descriptor.digest),
    path: ({ descriptor }) => blobs.path(descriptor.digest),
  };
}

/** The bytes of a document, and which endpoint served it. */
export type Fetched = { readonly bytes: Uint8Array; readonly servedBy: ServedBy };

/** What a request may read of one repository. A pull reads cache and registry only through this. */
export type AdmittedContent = {
  readonly resolution: Resolution;
  /**
   * Equal for requests with the same credentials for the same registry, and for requests that may not ask it and get
   * the same errors.
   */
  readonly id: string;
  /** Which cached content may be used without asking a registry. */
  readonly possession: Possession;
  /** The registry that content may come from; empty if it may come from the cache only. */
  readonly registry: string;
  /** The same content for callers with other retry rules. */
  waitingBy(waiting: Waiting): AdmittedContent;
  /**
   * Asks the registry about content that is not known to be in the repository. If the registry does not confirm it,
   * requests the content itself. Content embedded in a descriptor needs no check.
   *
   * @throws ArtifactError as the registry answers a request for that content.
   */
  admit(content: Content, signal: AbortSignal): Promise<Admitted<Content>>;
  /** Admits several at once. @throws as `admit`. */
  admitAll(contents: readonly Content[], signal: AbortSignal): Promise<void>;
  /** Admits everything that a view shows or was resolved by. @throws as `admit`. */
  admitView(plan: ViewPlan, signal: AbortSignal): Promise<Admitted<ViewPlan>>;
  /** Finds the view in the cache. @throws as `admit`. */
  findView(plan: ViewPlan, signal: AbortSignal): Promise<View | undefined>;
  /** Whether this is known to be in the repository. Asks nobody. */
  knows(descriptor: Descriptor): boolean;
  /** Whether the registry may be asked for a blob, and has it. */
  hasBlob(descriptor: Descriptor, signal: AbortSignal): Promise<boolean>;
  /** Fetches a manifest, or a config of at most 4 MiB. @throws `not-found` if the registry may not be asked. */
  fetchDocument(content: Content, signal: AbortSignal): Promise<Fetched>;
  /** Fetches a blob from `sink.offset`. `label` names it in errors. */
  fetchBlob(descriptor: Descriptor, label: string, sink: Sink, signal: AbortSignal): Promise<ServedBy>;
  /** Records verified content in memory. */
  note(digest: Digest, servedBy: ServedBy): void;
  /** Writes what was recorded. */
  save(): Promise<void>;
};

/**
 * How long a pod that may not pull waits for the registry to decide whether it may have cached content. It learns at
 * once what is not cached.
 */
const wordMs = 5_000;

export function boundToWord(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(wordMs)]);
}

/**
 * For a request that may have what it resolved to. `offline`: the registry is asked about access, and never for
 * content.
 */
export function openAdmittedContent(
  world: {
    readonly access: AccessCheck;
    readonly registry: Pick<Registry, 'manifest' | 'blob' | 'has'>;
    readonly views: Pick<Views, 'find'>;
  },
  resolution: Resolution,
  request: Pick<PullRequest, 'reference' | 'caller' | 'brought'>,
  keyring: Keyring,
  offline: boolean,
): AdmittedContent {
  const { access, registry, views } = world;
  const { reference: repository } = resolution;
  // For such a pod, content that it may not have is missing.
  const isClosed = offline && request.caller === 'pod';
  const asker = request.brought === undefined ? request.caller : 'layout';
  const possession = openPossession(request, digest => access.knows(repository, digest));

  const admitAll: AdmittedContent['admitAll'] = async (contents, signal) => {
    if (request.brought !== undefined) return verifyGiven(contents, request.reference, possession);
    try {
      await access.confirm(repository, contents, keyring, isClosed ? boundToWord(signal) : signal);
    } catch (thrown) {
      signal.throwIfAborted();
      throw isClosed ? toNotCached(request.reference) : thrown;
    }
  };

  const admitView: AdmittedContent['admitView'] = async (plan, signal) => {
    await admitAll(contentsOf(plan), signal);
    return admitted(plan);
  };

  return {
    resolution,
    possession,
    id: offline ? `offline ${asker}` : `${formatRepository(repository)} ${keyring.id}`,
    registry: offline ? '' : repository.registry,
    waitingBy: waiting => openAdmittedContent(world, resolution, request, { ...keyring, waiting }, offline),
    async admit(content, signal) {
      await admitAll([content], signal);
      return admitted(content);
    },
    admitAll,
    admitView,
    async findView(plan, signal) {
      if ((await views.find(plan.key)) === undefined) return undefined;
      await admitView(plan, signal);
      return views.find(plan.key); // it may have been collected meanwhile
    },
    knows: ({ digest, data }) => offline || data !== undefined || access.knows(repository, digest),
    hasBlob: async (descriptor, signal) =>
      !offline && (await registry.has(repository, { kind: 'blob', descriptor }, keyring, signal)),
    async fetchDocument({ kind, descriptor }, signal) {
      if (offline) throw possession.missing(nameDocument(kind, request.reference), descriptor.digest);
      if (kind === 'manifest') return registry.manifest(repository, descriptor, keyring, signal);
      if (descriptor.size > maxManifestBytes) {
        throw new ArtifactError(
          'unmountable',
          `the config of ${formatRepository(repository)} has ${descriptor.size} bytes; ${maxManifestBytes} are the most that is read`,
        );
      }
      const sink = createMemorySink(descriptor);
      const servedBy = await registry.blob(repository, descriptor, sink, keyring, signal);
      return { bytes: sink.bytes, servedBy };
    },
    fetchBlob: (descriptor, label, sink, signal) =>
      offline
        ? Promise.reject(possession.missing(label, descriptor.digest))
        : registry.blob(repository, descriptor, sink, keyring, signal),
    note: (digest, servedBy) => (offline ? undefined : access.note(repository, [{ digest, servedBy }])),
    save: async () => (offline ? undefined : await access.save(repository)),
  };
}

/** For administrators, who may have everything in the cache. */
export function admitted<T>(value: T): Admitted<T> {
  return value as Admitted<T>;
}

/** Makes the error for missing content that no registry may be asked for. `what` describes it, with the reference. */
export type Missing = (what: string, digest: Digest) => ArtifactError;

/** A pod gets the same error for content that is cached for others only. */
function openMissing({ reference, caller, brought }: Asked): Missing {
  if (caller === 'pod') return () => toNotCached(reference);
  const [source, advice] =
    brought === undefined
      ? ['cache', 'pull it with another pull policy, or load it from a layout']
      : ['layout', 'write the layout again, with all of its blobs'];
  const why =
    brought === undefined ? '' : ', and nothing that was pulled or loaded for that repository has it';
  return (what, digest) =>
    new ArtifactError('not-found', `the ${source} lacks ${digest}, ${what}${why}; ${advice}`);
}

type Asked = Pick<PullRequest, 'reference' | 'caller' | 'brought'>;

/** How an offline request of an administrator uses the cache. `isGiven`: whether cached content may be used. */
export type Possession = { readonly missing: Missing; readonly isGiven: (digest: Digest) => boolean };

/** Content of a layout must come with it, or be known to be in its repository; no registry is asked. */
export function openPossession(request: Asked, isKnown: (digest: Digest) => boolean): Possession {
  const { brought } = request;
  return {
    missing: openMissing(request),
    isGiven: digest => brought === undefined || brought.has(digest) || isKnown(digest),
  };
}

/** @throws ArtifactError `not-found` naming content that is cached for others only. */
function verifyGiven(
  contents: readonly Content[],
  reference: string,
  { missing, isGiven }: Possession,
): void {
  for (const { kind, descriptor } of contents) {
    if (descriptor.data === undefined && !isGiven(descriptor.digest))
      throw missing(nameDocument(kind, reference), descriptor.digest);
  }
}

/**
 * The error for content that is not cached, or cached for others only, while `pullPolicy: Never` forbids to ask the
 * registry.
 */
export function toNotCached(what: string): ArtifactError {
  return new ArtifactError(
    'not-found',
    `${what} is not in this node's cache for this pod, and pullPolicy Never forbids to pull it; load it there first, or set IfNotPresent, with a credential that may read it`,
  );
}

/** How messages name a manifest, an index or a config. */
export function nameDocument(kind: Content['kind'], reference: string): string {
  return `the ${kind === 'manifest' ? 'manifest' : 'config'} of ${reference}`;
}
