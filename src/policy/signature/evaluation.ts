import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { formatReference, type Reference } from '../../oci/reference.ts';
import type { SignatureSource, Verdict } from '../../ports/trust.ts';
import { ArtifactError } from '../../util/error.ts';
import { quoteName } from '../../util/name.ts';
import {
  listBundles,
  maxCandidates,
  readBundle,
  readSimpleSignatures,
  type SignatureCandidate,
} from './discovery.ts';
import { findMismatch } from './identity.ts';
import type { LoadedRequirement } from './policy-file.ts';
import { findRule, type Policy } from './policy-json.ts';
import { parseBundle, verifyStatement } from './verify/bundle.ts';
import { verifySigned } from './verify/signed-content.ts';
import { parseClaim, toSimpleSigned, verifyDigest } from './verify/simple-signing.ts';

/**
 * The artifact and the signatures to evaluate. `digestIsEnough`: a bundle, which names no repository, meets every
 * signedIdentity.
 */
export type Case = {
  readonly policy: Policy<LoadedRequirement>;
  /** The policy's name in messages. */
  readonly file: string;
  readonly digestIsEnough: boolean;
  readonly reference: Reference;
  readonly digest: Digest;
};

type Signed = Extract<LoadedRequirement, { readonly kind: 'signed' }>;

/**
 * Evaluates all requirements of the rule. Each that needs a signature must be met by one. Signatures are fetched one
 * after the other, while a requirement needs one: those of the `.sig` tag first, or bundles if no requirement needs a
 * name. A mirror may have the one kind while the registry, which alone can report that the other does not exist, is
 * unreachable.
 *
 * @throws errors of the source, if the signatures it has are not enough.
 */
export async function evaluate(
  { policy, file, digestIsEnough, reference, digest }: Case,
  source: SignatureSource,
  signal: AbortSignal,
): Promise<Verdict> {
  const refuse = (field: string, why: string): Verdict => ({
    kind: 'refused',
    why: `${formatReference(reference)} (${digest}) is refused by ${field} of ${file}: ${why}`,
  });
  const { field, requirements } = findRule(policy, reference);
  const pending = new Map<Signed, string[]>();
  for (const requirement of requirements) {
    if (requirement.kind === 'unusable') return refuse(requirement.field, requirement.why);
    if (requirement.kind === 'reject') {
      return refuse(requirement.field, 'it rejects all; add a scope for it below transports.docker');
    }
    if (requirement.kind === 'signed') pending.set(requirement, []);
  }

  const takesBundles = ({ identity }: Signed): boolean => digestIsEnough || identity.kind === 'matchDigest';
  const by: string[] = [];
  let seen = 0;
  const examine = (candidate: SignatureCandidate): void => {
    seen += 1;
    for (const [requirement, reasons] of pending) {
      if (candidate.kind === 'bundle' && !takesBundles(requirement)) continue;
      try {
        by.push(`${candidate.label}, made by ${verifyCandidate(candidate, requirement, reference, digest)}`);
        pending.delete(requirement);
      } catch (thrown) {
        reasons.push(`${candidate.label}: ${reasonOf(thrown)}`);
      }
    }
  };

  let bundles: readonly Descriptor[] = [];
  const lookAtTag = async (): Promise<void> => {
    for await (const candidate of readSimpleSignatures(source, digest, signal)) {
      examine(candidate);
      if (pending.size === 0 || seen === maxCandidates) break;
    }
  };
  const lookAtBundles = async (): Promise<void> => {
    bundles = await listBundles(source, digest, signal);
    for (const descriptor of bundles) {
      if (![...pending.keys()].some(takesBundles) || seen === maxCandidates) break;
      examine(await readBundle(source, descriptor, signal));
    }
  };
  const wantsNoName = [...pending.keys()].every(({ identity }) => identity.kind === 'matchDigest');
  const failures: unknown[] = [];
  for (const look of wantsNoName ? [lookAtBundles, lookAtTag] : [lookAtTag, lookAtBundles]) {
    if (pending.size === 0) break;
    try {
      await look();
    } catch (thrown) {
      signal.throwIfAborted();
      failures.push(thrown);
    }
  }
  if (pending.size > 0 && failures.length > 0) throw failures[0];

  for (const [requirement, reasons] of pending) {
    if (!takesBundles(requirement) && bundles.length > 0) reasons.push(bundlesAlone(requirement));
    return refuse(requirement.field, summarize(reasons, seen) ?? unsigned(digest, requirement));
  }
  if (by.length === 0) return { kind: 'accepted', by: `${field} of ${file} accepts anything` };
  return { kind: 'accepted', by: by.join('; '), isSigned: true };
}

/**
 * @returns the signer.
 * @throws why it is not enough; any error is a refusal, because all its input comes from a registry.
 */
function verifyCandidate(
  candidate: SignatureCandidate,
  requirement: Signed,
  reference: Reference,
  digest: Digest,
): string {
  switch (candidate.kind) {
    case 'unreadable':
      throw new ArtifactError('invalid', candidate.why);
    case 'simple': {
      const by = verifySigned(toSimpleSigned(candidate.payload, candidate.annotations), requirement);
      const claim = parseClaim(candidate.payload);
      verifyDigest(claim, digest);
      const mismatch = findMismatch(requirement.identity, reference, claim.identity, requirement.field);
      if (mismatch === undefined) return by;
      throw new ArtifactError('denied', mismatch);
    }
    case 'bundle': {
      const bundle = parseBundle(candidate.bytes);
      const by = verifySigned(bundle.content, requirement);
      verifyStatement(bundle.statement, digest);
      return by;
    }
  }
}

function reasonOf(thrown: unknown): string {
  if (thrown instanceof ArtifactError) return thrown.message;
  return `it cannot be read: ${quoteName(thrown instanceof Error ? thrown.message : '')}; sign it again`;
}

function bundlesAlone({ field, identity }: Signed): string {
  return `it has a sigstore bundle, as cosign 3 makes them, which signs a digest and no name, and so does not meet ${identity.kind}; if the digest is enough, set signedIdentity matchDigest ({"type": "matchDigest"}) at ${field}, or sign it with cosign sign --new-bundle-format=false`;
}

function unsigned(digest: Digest, { field }: Signed): string {
  return `it is not signed: there is no tag ${digest.replace(':', '-')}.sig, and no sigstore bundle refers to it; sign it with cosign, or change ${field}`;
}

/** Each reason once, at most three. */
function summarize(reasons: readonly string[], seen: number): string | undefined {
  const distinct = [...new Set(reasons)];
  if (distinct.length === 0) return undefined;
  const more = distinct.length > 3 ? [`and ${distinct.length - 3} more`] : [];
  const limit = seen === maxCandidates ? [`only ${maxCandidates} signatures were looked at`] : [];
  return [...distinct.slice(0, 3), ...more, ...limit].join('; ');
}
