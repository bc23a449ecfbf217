import type { Keyring } from '../../oci/credential.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import { formatReference, formatRepository, parseReference, type Reference } from '../../oci/reference.ts';
import type { SignatureRecords } from '../../ports/records.ts';
import type { Registry } from '../../ports/registry.ts';
import type { SignatureSource, Trust, Verdict } from '../../ports/trust.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { formatSize } from '../../util/size.ts';
import { createRecency } from '../cache/leases.ts';
import { createMemorySink } from '../sinks/memory-sink.ts';

/** Verifies that artifacts are signed as the node's policy requires. */
export type SignatureCheck = {
  /**
   * Verifies what a reference resolved to: with the signatures that the node keeps, and if they are not enough, with
   * those of its registry. `keyring` undefined: without the network.
   *
   * @returns whether it had to be signed.
   * @throws ArtifactError `denied` with the reason; errors of the registry.
   */
  verify(
    reference: Reference,
    digest: Digest,
    keyring: Keyring | undefined,
    signal: AbortSignal,
  ): Promise<boolean>;
  /** The verdict from the signatures that the node keeps, for a full reference as text. */
  evaluate(reference: string, digest: Digest): Promise<Verdict>;
  /** Forgets signatures of artifacts that are neither cached nor were requested recently. */
  sweep(isHeld: (digest: Digest) => Promise<boolean>): Promise<void>;
};

export function createSignatureCheck(world: {
  readonly trust: Trust;
  readonly registry: Registry;
  readonly signatures: SignatureRecords;
  /** Milliseconds of a clock that nobody sets. */
  readonly now?: () => number;
}): SignatureCheck {
  const { trust, registry, signatures } = world;
  const recency = createRecency(world.now);

  const evaluateKept = async (
    reference: Reference,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<Verdict> => {
    // A verdict that is still valid needs no signatures.
    const answers = async () => (await signatures.find(subjectOf(reference, digest)))?.answers ?? {};
    return trust.verify(reference, digest, createKeptSource(answers), signal);
  };

  return {
    async verify(reference, digest, keyring, signal) {
      recency.note(subjectOf(reference, digest));
      const kept = await evaluateKept(reference, digest, signal);
      if (kept.kind === 'accepted') return kept.isSigned === true;
      if (keyring === undefined) throw new ArtifactError('denied', kept.why);
      const answers: Record<string, string> = {};
      const source = createRegistrySource(registry, reference, keyring, answers);
      const verdict = await trust.verify(reference, digest, source, signal).catch((thrown: unknown) => {
        signal.throwIfAborted();
        const error = toArtifactError(thrown);
        throw new ArtifactError(
          error.code,
          `the signatures of ${formatReference(reference)} cannot be read: ${error.message}`,
          error,
        );
      });
      if (verdict.kind === 'refused') throw new ArtifactError('denied', verdict.why);
      await signatures.put({ subject: subjectOf(reference, digest), answers });
      return verdict.isSigned === true;
    },
    async evaluate(text, digest) {
      const parsed = parseReference(text);
      if (parsed.kind === 'short') return { kind: 'refused', why: `${text} is not a full reference` };
      return evaluateKept(parsed.reference, digest, new AbortController().signal);
    },
    async sweep(isHeld) {
      for (const { subject } of await signatures.list()) {
        const digest = subject.slice(subject.lastIndexOf('@') + 1);
        const isWanted = isDigest(digest) && (recency.has(subject) || (await isHeld(digest)));
        if (!isWanted) await signatures.remove(subject);
      }
    },
  };
}

/** A verdict in words. */
export function formatVerdict(verdict: Verdict): string {
  return verdict.kind === 'accepted' ? `accepted: ${verdict.by}` : `refused: ${verdict.why}`;
}

function subjectOf(reference: Reference, digest: Digest): string {
  return `${formatRepository(reference)}@${digest}`;
}

type Tagged = { readonly bytes: Uint8Array; readonly descriptor: Descriptor };

/**
 * Bytes of all documents that are read for one verdict. cosign's have tens of KiB, but anybody with push access can add
 * others.
 */
const maxBytes = 16 * 1024 * 1024;

/** Stores each answer of a registry in `answers` under its request, as JSON with bytes in base64. */
function createRegistrySource(
  registry: Registry,
  repository: Reference,
  keyring: Keyring,
  answers: Record<string, string>,
): SignatureSource {
  const { registry: host, path } = repository;
  const here = { registry: host, path };
  const note = <T extends Tagged | readonly Descriptor[] | Uint8Array | undefined>(
    question: string,
    answer: T,
  ): T => {
    answers[question] = JSON.stringify(answer ?? null, (_, value: unknown) =>
      value instanceof Uint8Array ? { base64: Buffer.from(value).toString('base64') } : value,
    );
    return answer;
  };
  let left = maxBytes;
  const spend = ({ size }: Descriptor): void => {
    left -= size;
    if (left >= 0) return;
    throw new ArtifactError(
      'unmountable',
      `${formatRepository(here)} has more than ${formatSize(maxBytes)} of them; remove those that are none`,
    );
  };
  return {
    async tag(name, signal) {
      try {
        const { descriptor } = await registry.resolve({ ...here, tag: name }, keyring, signal);
        spend(descriptor);
        const { bytes } = await registry.manifest(here, descriptor, keyring, signal);
        return note(`tag ${name}`, { bytes: Uint8Array.from(bytes), descriptor });
      } catch (thrown) {
        if (toArtifactError(thrown).code !== 'not-found') throw thrown;
        return note(`tag ${name}`, undefined);
      }
    },
    referrers: async (digest, artifactType, signal) =>
      note(
        `referrers ${digest} ${artifactType}`,
        await registry.referrers(here, digest, artifactType, keyring, signal),
      ),
    async manifest(descriptor, signal) {
      spend(descriptor);
      const { bytes } = await registry.manifest(here, descriptor, keyring, signal);
      return note(`manifest ${descriptor.digest}`, Uint8Array.from(bytes));
    },
    async blob(descriptor, signal) {
      spend(descriptor);
      const sink = createMemorySink(descriptor);
      await registry.blob(here, descriptor, sink, keyring, signal);
      return note(`blob ${descriptor.digest}`, Uint8Array.from(sink.verified()));
    },
  };
}

/** Replays stored answers. Requests without a stored answer find nothing. */
function createKeptSource(kept: () => Promise<Readonly<Record<string, string>>>): SignatureSource {
  const answer = async (question: string): Promise<unknown> => {
    const text = (await kept())[question];
    return text === undefined ? null : JSON.parse(text, revive);
  };
  const bytesOf = async (question: string): Promise<Uint8Array> => {
    const bytes = await answer(question);
    if (bytes instanceof Uint8Array) return bytes;
    throw new ArtifactError('not-found', `the node does not keep the ${question}`);
  };
  return {
    tag: async name => ((await answer(`tag ${name}`)) as Tagged | null) ?? undefined,
    referrers: async (digest, artifactType) =>
      ((await answer(`referrers ${digest} ${artifactType}`)) as readonly Descriptor[] | null) ?? undefined,
    manifest: descriptor => bytesOf(`manifest ${descriptor.digest}`),
    blob: descriptor => bytesOf(`blob ${descriptor.digest}`),
  };
}

function revive(_: string, value: unknown): unknown {
  const isBytes =
    typeof value === 'object' && value !== null && 'base64' in value && typeof value.base64 === 'string';
  return isBytes ? new Uint8Array(Buffer.from(value.base64 as string, 'base64')) : value;
}
