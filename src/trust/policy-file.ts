import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { parseAuthorities } from './certificate.ts';
import { stampOf } from '../util/file-stamp.ts';
import type { SignedIdentity } from './identity.ts';
import { findIdleScopes, parsePolicy, type Policy, type Rule } from './policy-json.ts';
import { parsePublicKey, type PublicKey } from './public-key.ts';
import { type Material, type Requirement, type SignedRequirement, unusable } from './requirement.ts';
import type { Trusted } from './signed-content.ts';

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

/**
 * Answers with the policy of a file. Each call asks stat whether it, or a key file that it names, has changed, and
 * reads all of them again if so; the same contents are the same state.
 */
export function openPolicyFile(file: string): () => PolicyState {
  let texts: Texts = new Map();
  let contents = '';
  let state: PolicyState | undefined;

  return () => {
    const changed = [...texts].some(([path, { stamp }]) => stamp !== stampOf(path));
    if (state !== undefined && !changed) return state;
    const read: Texts = new Map();
    const loaded = load(file, read);
    const readContents = digestOf(read);
    texts = read;
    if (state === undefined || readContents !== contents) state = loaded;
    contents = readContents;
    return state;
  };
}

function load(file: string, texts: Texts): PolicyState {
  try {
    const written = parsePolicy(readText(file, texts));
    const rules = new Map<string, Rule<LoadedRequirement>>();
    for (const [scope, rule] of written.scopes) rules.set(scope, loadRule(rule, texts));
    const policy = { fallback: loadRule(written.fallback, texts), scopes: rules };
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

function loadRule({ field, requirements }: Rule, texts: Texts): Rule<LoadedRequirement> {
  const loaded: LoadedRequirement[] = [];
  for (const requirement of requirements) loaded.push(loadRequirement(requirement, texts));
  return { field, requirements: loaded };
}

function loadRequirement(requirement: Requirement, texts: Texts): LoadedRequirement {
  if (requirement.kind !== 'signed') return requirement;
  const { signer, field } = requirement;
  try {
    const logs = loadKeys(requirement.logs, texts);
    const other = logs.find(({ key }) => key.asymmetricKeyType !== 'ec');
    if (other !== undefined) {
      throw new ArtifactError(
        'invalid',
        `${other.label} is no ECDSA key, and logs of Rekor version 1 have one`,
      );
    }
    if (signer.kind === 'keys') {
      return { ...requirement, logs, signer: { kind: 'keys', keys: loadKeys(signer.keys, texts) } };
    }
    const authorities = parseAuthorities(readMaterial(signer.ca, texts), labelOf(signer.ca));
    return { ...requirement, logs, signer: { kind: 'fulcio', authority: { ...signer, authorities } } };
  } catch (thrown) {
    if (!(thrown instanceof ArtifactError)) throw thrown;
    return unusable(field, thrown.message);
  }
}

function loadKeys(materials: readonly Material[], texts: Texts): readonly PublicKey[] {
  const keys: PublicKey[] = [];
  for (const material of materials) {
    keys.push(parsePublicKey(readMaterial(material, texts), labelOf(material)));
  }
  return keys;
}

function readMaterial(material: Material, texts: Texts): string {
  if (material.kind === 'data') return material.pem;
  try {
    return readText(material.path, texts);
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : '';
    throw new ArtifactError('invalid', `${labelOf(material)}: ${why}`, thrown);
  }
}

function labelOf(material: Material): string {
  return material.kind === 'path' ? `${material.field} (${material.path})` : material.field;
}

/** Its text, read once. @throws ArtifactError `invalid` saying why there is none. */
function readText(path: string, texts: Texts): string {
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
