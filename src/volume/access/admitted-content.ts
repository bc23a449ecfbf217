import type { Keyring, Waiting } from '../../oci/credential.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { formatReference, formatRepository } from '../../oci/reference.ts';
import type { BlobBatch, BlobPart, Content, Registry, ServedBy, Sink } from '../../ports/registry.ts';
import type { PullRequest } from '../../ports/request.ts';
import type { Resolution } from '../../ports/resolution.ts';
import type { Blobs, View, Views } from '../../ports/store.ts';
import { ArtifactError } from '../../util/error.ts';
import type { ViewPlan } from '../pull/view-plan.ts';
import { createMemorySink } from '../sinks/memory-sink.ts';
import {
  type AccessCheck,
  nameDocument,
  openPossession,
  type Possession,
  type Scope,
  toNotCached,
} from './access-check.ts';
import type { SignatureCheck } from './signature-check.ts';

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
  /** Who answered what the reference names: that shows what is empty or embedded in its manifest, too. */
  readonly shownBy: ServedBy;
  /**
   * Equal for requests with the same credentials for the same registry, and for requests that may not ask it and get
   * the same errors.
   */
  readonly id: string;
  /** What of the repository the request may have. It grows when the registry admits the request to more. */
  readonly scope: Scope;
  /** Which cached content may be used without asking a registry. */
  readonly possession: Possession;
  /** The registry that content may come from; empty if it may come from the cache only. */
  readonly registry: string;
  /** The same content for callers with other retry rules. */
  waitingBy(waiting: Waiting): AdmittedContent;
  /**
   * Admits a document. If the registry does not confirm that the repository has it, it is fetched.
   *
   * @throws ArtifactError as the registry answers a request for that content.
   */
  admit(content: Content, signal: AbortSignal): Promise<Admitted<Content>>;
  /**
   * Admits what is known to be in the repository, and what the registry confirms without a transfer. Returns the rest,
   * which must be fetched although it is cached: only a flight does so.
   *
   * @throws ArtifactError as the registry answers; `not-found` if it may not be asked for content.
   */
  admitAll(contents: readonly Content[], signal: AbortSignal): Promise<readonly Content[]>;
  /** Admits everything that a view shows or was resolved by; undefined unless all of it is known. Asks nobody. */
  admitView(plan: ViewPlan): Admitted<ViewPlan> | undefined;
  /** Finds the view in the cache; undefined unless all of its content is known. Asks nobody. */
  findView(plan: ViewPlan): Promise<View | undefined>;
  /** Whether this is known to be in the repository, or embedded in its descriptor. Asks nobody. */
  knows(descriptor: Descriptor): boolean;
  /** Who confirms that the repository has a blob; undefined if it has not, or the registry may not be asked. */
  hasBlob(descriptor: Descriptor, signal: AbortSignal): Promise<ServedBy | undefined>;
  /** Fetches a manifest, or a config of at most 4 MiB. @throws `not-found` if the registry may not be asked. */
  fetchDocument(content: Content, signal: AbortSignal): Promise<Fetched>;
  /** Fetches a blob from `sink.offset`. `label` names it in errors. */
  fetchBlob(descriptor: Descriptor, label: string, sink: Sink, signal: AbortSignal): Promise<ServedBy>;
  /** Fetches a part of a blob, which the sink verifies; undefined if the registry sends no ranges. */
  fetchPart(part: BlobPart, label: string, sink: Sink, signal: AbortSignal): Promise<ServedBy | undefined>;
  /** Lists what refers to a manifest; undefined if the registry has no such list, or may not be asked. */
  referrers(digest: Digest, type: string, signal: AbortSignal): Promise<readonly Descriptor[] | undefined>;
  /**
   * Verifies that a policy demands a signature of the artifact, and that another manifest of its repository has one that
   * meets it. @throws `denied` with the reason; errors of the registry.
   */
  verifySigned(digest: Digest, signal: AbortSignal): Promise<void>;
  /** How long a server may be silent before the first byte of a blob, in ms; 0 if no file says so. */
  silenceMs(signal: AbortSignal): Promise<number>;
  /** Fetches small blobs together; those that were not taken are to be fetched one by one. */
  fetchBlobs(batch: BlobBatch, signal: AbortSignal): Promise<void>;
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
    readonly registry: Pick<
      Registry,
      'manifest' | 'blob' | 'part' | 'blobs' | 'has' | 'silenceMs' | 'referrers'
    >;
    readonly signatures: Pick<SignatureCheck, 'verify'>;
    readonly views: Pick<Views, 'find'>;
  },
  resolution: Resolution,
  request: PullRequest,
  keyring: Keyring,
  offline: boolean,
  admittedTo: Scope,
): AdmittedContent {
  const { access, registry, signatures, views } = world;
  const { reference: repository } = resolution;
  // For such a pod, content that it may not have is missing.
  const isClosed = offline && request.caller === 'pod';
  const asker = request.brought === undefined ? request.caller : 'layout';
  const possession = openPossession(request, digest => access.knows(repository, digest));

  /** Digests that the registry has not confirmed. It is not asked again, because it may be away. */
  const unconfirmed = new Set<Digest>();

  let scope = admittedTo;
  const isGiven = (digest: Digest): boolean =>
    scope === 'loaded' ? access.isLoaded(repository, digest) : access.knows(repository, digest);
  const knows = ({ digest, data }: Descriptor): boolean =>
    data !== undefined || request.brought?.has(digest) === true || isGiven(digest);

  const confirm = async (needed: readonly Content[], signal: AbortSignal): Promise<readonly Content[]> => {
    if (scope === 'loaded' && needed.length > 0) {
      await access.ask(resolution, request, keyring, signal);
      scope = 'repository';
    }
    const strange = needed.filter(({ descriptor }) => !knows(descriptor));
    const isAsked = ({ descriptor }: Content): boolean => unconfirmed.has(descriptor.digest);
    const unasked = strange.filter(content => !isAsked(content));
    const rest = await access.confirm(repository, unasked, keyring, signal);
    for (const { descriptor } of rest) unconfirmed.add(descriptor.digest);
    return strange.filter(isAsked);
  };

  const admitAll: AdmittedContent['admitAll'] = async (contents, signal) => {
    const strange = contents.filter(({ descriptor }) => !knows(descriptor));
    if (!offline) return confirm(strange, signal);
    const { missing } = possession;
    try {
      const asked = request.brought === undefined;
      const bound = isClosed ? boundToWord(signal) : signal;
      const [first] = asked ? await confirm(strange, bound) : strange;
      if (first === undefined) return [];
      throw missing(nameDocument(first.kind, request.reference), first.descriptor.digest);
    } catch (thrown) {
      signal.throwIfAborted();
      throw isClosed ? toNotCached(request.reference) : thrown;
    }
  };

  const admitView: AdmittedContent['admitView'] = plan =>
    plan.contents.every(({ descriptor }) => knows(descriptor)) ? admitted(plan) : undefined;

  const fetchDocument: AdmittedContent['fetchDocument'] = async ({ kind, descriptor }, signal) => {
    if (offline) throw possession.missing(nameDocument(kind, request.reference), descriptor.digest);
    if (kind === 'manifest') return registry.manifest(repository, descriptor, keyring, signal);
    const sink = createMemorySink(descriptor);
    const servedBy = await registry.blob(repository, descriptor, sink, keyring, signal);
    return { bytes: sink.verified(), servedBy };
  };

  return {
    resolution,
    shownBy: resolution.servedBy ?? {},
    possession,
    get scope() {
      return scope;
    },
    get id() {
      return `${scope} ${offline ? `offline ${asker}` : `${formatRepository(repository)} ${keyring.id}`}`;
    },
    registry: offline ? '' : repository.registry,
    waitingBy: waiting =>
      openAdmittedContent(world, resolution, request, { ...keyring, waiting }, offline, scope),
    async admit(content, signal) {
      for (const { descriptor } of await admitAll([content], signal)) {
        const { servedBy } = await fetchDocument(content, signal);
        access.note(repository, [{ digest: descriptor.digest, servedBy }]);
        await access.save(repository);
      }
      return admitted(content);
    },
    admitAll,
    admitView,
    findView: async plan => (admitView(plan) === undefined ? undefined : await views.find(plan.key)),
    knows,
    hasBlob: async (descriptor, signal) =>
      offline ? undefined : await registry.has(repository, { kind: 'blob', descriptor }, keyring, signal),
    fetchDocument,
    fetchBlob: (descriptor, label, sink, signal) =>
      offline
        ? Promise.reject(possession.missing(label, descriptor.digest))
        : registry.blob(repository, descriptor, sink, keyring, signal),
    fetchPart: (part, label, sink, signal) =>
      offline
        ? Promise.reject(possession.missing(label, part.descriptor.digest))
        : registry.part(repository, part, sink, keyring, signal),
    referrers: async (digest, type, signal) =>
      offline ? undefined : await registry.referrers(repository, digest, type, keyring, signal),
    async verifySigned(digest, signal) {
      const isDemanded = await signatures.verify(repository, digest, offline ? undefined : keyring, signal);
      if (isDemanded) return;
      throw new ArtifactError(
        'denied',
        `no signature policy demands that ${formatReference(repository)} is signed, so anybody who can push could add a list`,
      );
    },
    silenceMs: signal => registry.silenceMs(repository, signal),
    fetchBlobs: async (batch, signal) =>
      offline ? undefined : await registry.blobs(repository, batch, keyring, signal),
    note: (digest, servedBy) => (offline ? undefined : access.note(repository, [{ digest, servedBy }])),
    save: async () => (offline ? undefined : await access.save(repository)),
  };
}

/** For administrators, who may have everything in the cache. */
export function admitted<T>(value: T): Admitted<T> {
  return value as Admitted<T>;
}
