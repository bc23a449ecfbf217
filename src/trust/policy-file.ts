import { hash, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { parseAuthorities } from './certificate.ts';
import { stampOf } from '../util/file-stamp.ts';
import type { SignedIdentity } from './identity.ts';
import { always } from './log-entry.ts';
import { findIdleScopes, parsePolicy, type Policy, type Rule } from './policy-json.ts';
import { parsePublicKey, type PublicKey } from './public-key.ts';
import { type Material, type Requirement, type SignedRequirement, unusable } from './requirement.ts';
import type { Trusted } from './signed-content.ts';
import { parseTrustedRoot, type TrustedRoot } from './trusted-root.ts';

/** A requirement with its keys and certificates. */
export type LoadedRequirement =
  | Exclude<Requirement, SignedRequirement>
  | (Trusted & { readonly kind: 'signed'; readonly identity: SignedIdentity });

/** The policy as its files are now. `problems` are lines for the log; `why` begins with the file's name. */
export type PolicyState =
  | {
      readonly kind: 'loaded';
      readonly policy: Policy<LoadedRequirement>;
      readonly problems: readonly string[];
    }
  | { readonly kind: 'broken'; readonly why: string; readonly problems: readonly string[] };

/** Files by their path: what stat said before they were read, and their text or why there is none. */
type Texts = Map<string, { readonly stamp: string; readonly text: string | ArtifactError }>;

type Reading = { readonly texts: Texts; readonly strict: boolean };

/**
 * Answers with the policy of a file. Each call asks stat whether it, or another file that it names, has changed, and
 * reads all of them again if so; the same contents are the same state. `strict`: nothing that containers does not know.
 */
export function openPolicyFile(file: string, strict: boolean): () => PolicyState {
  let texts: Texts = new Map();
  let contents = '';
  let state: PolicyState | undefined;

  return () => {
    const changed = [...texts].some(([path, { stamp }]) => stamp !== stampOf(path));
    if (state !== undefined && !changed) return state;
    const read: Texts = new Map();
    const loaded = load(file, { texts: read, strict });
    const readContents = digestOf(read);
    texts = read;
    if (state === undefined || readContents !== contents) state = loaded;
    contents = readContents;
    return state;
  };
}

function load(file: string, reading: Reading): PolicyState {
  try {
    const written = parsePolicy(readText(file, reading), reading.strict);
    const rules = new Map<string, Rule<LoadedRequirement>>();
    for (const [scope, rule] of written.scopes) rules.set(scope, loadRule(rule, reading));
    const policy = { fallback: loadRule(written.fallback, reading), scopes: rules };
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
    const problem = `the signature policy ${why}; until that is corrected, every publish is refused`;
    return { kind: 'broken', why, problems: [problem] };
  }
}

function loadRule({ field, requirements }: Rule, reading: Reading): Rule<LoadedRequirement> {
  const loaded: LoadedRequirement[] = [];
  for (const requirement of requirements) loaded.push(loadRequirement(requirement, reading));
  return { field, requirements: loaded };
}

function loadRequirement(requirement: Requirement, reading: Reading): LoadedRequirement {
  if (requirement.kind !== 'signed') return requirement;
  const { signer, field } = requirement;
  try {
    const witnesses = loadWitnesses(requirement, reading);
    if (signer.kind === 'keys') {
      const keys = loadKeys(signer.keys, reading);
      return { ...requirement, ...witnesses, signer: { kind: 'keys', keys } };
    }
    const { authorities, certificateLogs, source } =
      signer.ca === undefined ? witnesses : loadAuthorities(signer.ca, reading);
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

/** Who must have seen a signature: a trusted root's logs and timestamp authorities, or logs by their keys. */
function loadWitnesses(
  { trustedRoot, logs: written, field }: SignedRequirement,
  reading: Reading,
): LoadedRoot {
  const source = trustedRoot === undefined ? field : labelOf(trustedRoot);
  const none = { authorities: [], timestampAuthorities: [], certificateLogs: [], source };
  if (trustedRoot === undefined) {
    const keys = loadKeys(written, reading);
    for (const { label, key } of keys) verifyLogKey(label, key, reading.strict);
    return { ...none, logs: keys.map(publicKey => ({ publicKey, period: always })) };
  }
  const root = parseTrustedRoot(readMaterial(trustedRoot, reading), source);
  if (root.logs.length + root.timestampAuthorities.length > 0) return { ...root, source };
  throw new ArtifactError(
    'invalid',
    `${source} has neither tlogs nor timestampAuthorities, and so nobody who says when a signature was made`,
  );
}

function loadAuthorities(
  ca: Material,
  reading: Reading,
): Pick<LoadedRoot, 'authorities' | 'certificateLogs' | 'source'> {
  const authority = parseAuthorities(readMaterial(ca, reading), labelOf(ca));
  return { authorities: [authority], certificateLogs: [], source: labelOf(ca) };
}

/** Logs of version 1 have ECDSA keys, those of version 2 Ed25519 too, which containers does not take. */
function verifyLogKey(label: string, { asymmetricKeyType: kind }: KeyObject, strict: boolean): void {
  if (kind === 'ec' || (kind === 'ed25519' && !strict)) return;
  const wanted = strict
    ? 'ECDSA key, which --strict-policy wants of a log'
    : 'ECDSA or Ed25519 key, as logs have';
  throw new ArtifactError('invalid', `${label} is no ${wanted}`);
}

function loadKeys(materials: readonly Material[], reading: Reading): readonly PublicKey[] {
  const keys: PublicKey[] = [];
  for (const material of materials) {
    keys.push(parsePublicKey(readMaterial(material, reading), labelOf(material)));
  }
  return keys;
}

function readMaterial(material: Material, reading: Reading): string {
  if (material.kind === 'data') return material.pem;
  try {
    return readText(material.path, reading);
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : '';
    throw new ArtifactError('invalid', `${labelOf(material)}: ${why}`, thrown);
  }
}

function labelOf(material: Material): string {
  return material.kind === 'path' ? `${material.field} (${material.path})` : material.field;
}

/** Its text, read once. @throws ArtifactError `invalid` saying why there is none. */
function readText(path: string, { texts }: Reading): string {
  const stamp = stampOf(path);
  const text = texts.get(path)?.text ?? read(path);
  if (!texts.has(path)) texts.set(path, { stamp, text });
  if (typeof text === 'string') return text;
  throw text;
}

function read(path: string): string | ArtifactError {
  try {
    return readFileSync(path, 'utf8');
  } catch (thrown) {
    const why = errnoOf(thrown) ?? String(thrown);
    return new ArtifactError('invalid', `it cannot be read (${why}); is it there, in this container too?`);
  }
}

function digestOf(texts: Texts): string {
  const all = [...texts].map(([path, { text }]) => [path, typeof text === 'string' ? text : text.message]);
  return hash('sha256', JSON.stringify(all));
}
