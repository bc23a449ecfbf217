import type { KeyObject } from 'node:crypto';
import { type Note, type Reading, readNamed, watchFiles } from '../../configfile/watched-file.ts';
import { ArtifactError } from '../../util/error.ts';
import type { SignedIdentity } from './identity.ts';
import { findIdleScopes, type Policy, parsePolicy, type Rule } from './policy-json.ts';
import { type Material, type Requirement, type SignedRequirement, unusable } from './requirement.ts';
import { parseAuthorities } from './verify/certificate.ts';
import { always } from './verify/log-entry.ts';
import { type PublicKey, parsePublicKey } from './verify/public-key.ts';
import type { Trusted } from './verify/signed-content.ts';
import { parseTrustedRoot, type TrustedRoot } from './verify/trusted-root.ts';

/** A requirement with its keys and certificates. */
export type LoadedRequirement =
  | Exclude<Requirement, SignedRequirement>
  | (Trusted & { readonly kind: 'signed'; readonly identity: SignedIdentity });

/** The policy of the present files. `problems` are messages for the log; `why` begins with the file's name. */
export type PolicyState =
  | {
      readonly kind: 'loaded';
      readonly policy: Policy<LoadedRequirement>;
      readonly problems: readonly string[];
    }
  | { readonly kind: 'broken'; readonly why: string; readonly problems: readonly string[] };

/** `strict`: refuses what containers does not know. */
type Means = { readonly reading: Reading; readonly strict: boolean };

/**
 * Returns the policy of the present file and the files that it names; the same object while their content is the same.
 */
export function openPolicyFile(file: string, strict: boolean, note: Note): () => PolicyState {
  return watchFiles<PolicyState>({
    what: `the signature policy ${file}`,
    read: reading => load(file, { reading, strict }),
    problemsOf: ({ problems }) => problems,
    note,
  });
}

function load(file: string, means: Means): PolicyState {
  try {
    const written = parsePolicy(readNamed(file, means.reading), means.strict);
    const rules = new Map<string, Rule<LoadedRequirement>>();
    for (const [scope, rule] of written.scopes) rules.set(scope, loadRule(rule, means));
    const policy = { fallback: loadRule(written.fallback, means), scopes: rules };
    const unusable = [policy.fallback, ...rules.values()]
      .flatMap(rule => rule.requirements)
      .flatMap(requirement => (requirement.kind === 'unusable' ? [requirement.why] : []));
    return {
      kind: 'loaded',
      policy,
      problems: [
        ...unusable.map(why => `${file}: ${why}; what is in its scope is refused`),
        ...findIdleScopes(policy).map(
          field =>
            `${file}: ${field}: no reference is in this scope; write docker.io/library/busybox in full, or *.example.com`,
        ),
      ],
    };
  } catch (thrown) {
    if (!(thrown instanceof ArtifactError)) throw thrown;
    const why = `${file}: ${thrown.message}`;
    const problem = `the signature policy ${why}; until the file is corrected, every mount is refused`;
    return { kind: 'broken', why, problems: [problem] };
  }
}

function loadRule({ field, requirements }: Rule, means: Means): Rule<LoadedRequirement> {
  const loaded: LoadedRequirement[] = [];
  for (const requirement of requirements) loaded.push(loadRequirement(requirement, means));
  return { field, requirements: loaded };
}

function loadRequirement(requirement: Requirement, means: Means): LoadedRequirement {
  if (requirement.kind !== 'signed') return requirement;
  const { signer, field } = requirement;
  try {
    const witnesses = loadWitnesses(requirement, means);
    if (signer.kind === 'keys') {
      const keys = loadKeys(signer.keys, means);
      return { ...requirement, ...witnesses, signer: { kind: 'keys', keys } };
    }
    const { authorities, certificateLogs, source } =
      signer.ca === undefined ? witnesses : loadAuthorities(signer.ca, means);
    if (authorities.length === 0)
      throw new ArtifactError('invalid', `${source} has no certificateAuthorities`);
    const authority = { ...signer, source, authorities, certificateLogs };
    return { ...requirement, ...witnesses, signer: { kind: 'fulcio', authority } };
  } catch (thrown) {
    if (!(thrown instanceof ArtifactError)) throw thrown;
    return unusable(field, thrown.message);
  }
}

type LoadedRoot = TrustedRoot & { readonly source: string };

/** The witnesses of a signature: a trusted root's logs and timestamp authorities, or logs by their keys. */
function loadWitnesses({ trustedRoot, logs: written, field }: SignedRequirement, means: Means): LoadedRoot {
  const source = trustedRoot === undefined ? field : labelOf(trustedRoot);
  const none = { authorities: [], timestampAuthorities: [], certificateLogs: [], source };
  if (trustedRoot === undefined) {
    const keys = loadKeys(written, means);
    for (const { label, key } of keys) verifyLogKey(label, key, means.strict);
    return { ...none, logs: keys.map(publicKey => ({ publicKey, period: always })) };
  }
  const root = parseTrustedRoot(readMaterial(trustedRoot, means), source);
  if (root.logs.length + root.timestampAuthorities.length > 0) return { ...root, source };
  throw new ArtifactError(
    'invalid',
    `${source} has neither tlogs nor timestampAuthorities, and so nobody who says when a signature was made`,
  );
}

function loadAuthorities(
  ca: Material,
  means: Means,
): Pick<LoadedRoot, 'authorities' | 'certificateLogs' | 'source'> {
  const authority = parseAuthorities(readMaterial(ca, means), labelOf(ca));
  return { authorities: [authority], certificateLogs: [], source: labelOf(ca) };
}

/** Logs of version 1 have ECDSA keys, those of version 2 also Ed25519, which containers does not accept. */
function verifyLogKey(label: string, { asymmetricKeyType: kind }: KeyObject, strict: boolean): void {
  if (kind === 'ec' || (kind === 'ed25519' && !strict)) return;
  const wanted = strict
    ? 'ECDSA key, which --strict-policy wants of a log'
    : 'ECDSA or Ed25519 key, as logs have';
  throw new ArtifactError('invalid', `${label} is no ${wanted}`);
}

function loadKeys(materials: readonly Material[], means: Means): readonly PublicKey[] {
  const keys: PublicKey[] = [];
  for (const material of materials) {
    keys.push(parsePublicKey(readMaterial(material, means), labelOf(material)));
  }
  return keys;
}

function readMaterial(material: Material, means: Means): string {
  if (material.kind === 'data') return material.pem;
  try {
    return readNamed(material.path, means.reading);
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : '';
    throw new ArtifactError('invalid', `${labelOf(material)}: ${why}`, thrown);
  }
}

function labelOf(material: Material): string {
  return material.kind === 'path' ? `${material.field} (${material.path})` : material.field;
}
