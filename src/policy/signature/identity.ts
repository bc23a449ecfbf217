import type { Table } from '../../configfile/field.ts';
import {
  formatReference,
  formatRepository,
  parseReference,
  type Reference,
  type Repository,
  withoutHttpsPort,
} from '../../oci/reference.ts';
import { ArtifactError } from '../../util/error.ts';
import { quoteName } from '../../util/name.ts';

/**
 * The name for which a signature must have been made (containers-policy.json(5), "signedIdentity"). `matchDigest`,
 * which containers does not know: any name, or none.
 */
export type SignedIdentity = NameRule | { readonly kind: 'matchDigest' };

type NameRule =
  | { readonly kind: 'matchExact' | 'matchRepoDigestOrExact' | 'matchRepository' }
  | { readonly kind: 'exactReference'; readonly reference: ImageIdentity }
  | { readonly kind: 'exactRepository'; readonly repository: Repository }
  | { readonly kind: 'remapIdentity'; readonly prefix: string; readonly signedPrefix: string };

/** A name with a tag, a digest, both or neither. Unlike in a reference, a missing tag does not mean `latest`. */
export type ImageIdentity = Reference;

/** `strict`: refuses what containers does not know. @throws ArtifactError `invalid` naming the field. */
export function parseSignedIdentity(object: Table | undefined, strict: boolean): SignedIdentity {
  if (object === undefined) return { kind: 'matchRepoDigestOrExact' };
  const kind = object.text('type');
  switch (kind) {
    case 'matchExact':
    case 'matchRepoDigestOrExact':
    case 'matchRepository':
      object.only('type');
      return { kind };
    case 'matchDigest':
      object.only('type');
      if (!strict) return { kind };
      throw new ArtifactError(
        'invalid',
        `${object.at('type')}: only this driver knows matchDigest, which --strict-policy refuses; write one of containers' own types, or leave out that flag`,
      );
    case 'exactReference': {
      object.only('type', 'dockerReference');
      const reference = parseField(object, 'dockerReference');
      if (!isNameOnly(reference)) return { kind, reference };
      return object.invalid('dockerReference', 'must have a tag or a digest');
    }
    case 'exactRepository':
      object.only('type', 'dockerRepository');
      return { kind, repository: parseField(object, 'dockerRepository') };
    case 'remapIdentity':
      object.only('type', 'prefix', 'signedPrefix');
      return {
        kind,
        prefix: parsePrefix(object, 'prefix'),
        signedPrefix: parsePrefix(object, 'signedPrefix'),
      };
    default:
      return object.invalid(
        'type',
        'must be matchExact, matchRepoDigestOrExact, matchRepository, matchDigest, exactReference, exactRepository or remapIdentity',
      );
  }
}

/**
 * Returns why a signature for the name `signed` does not match `reference`, and what to change; undefined if it
 * matches. `field` is the path of the rule in the policy.
 *
 * The reference has a tag or a digest; of both, the digest counts. The names are compared in full
 * (`docker.io/library/x`) and exactly. The signed digest is compared elsewhere: it is always this digest.
 */
export function findMismatch(
  identity: SignedIdentity,
  reference: Reference,
  signed: string,
  field: string,
): string | undefined {
  if (identity.kind === 'matchDigest') return undefined;
  const name = parseIdentity(signed);
  if (name === undefined) return `it was made for ${quoteName(signed)}, which is no reference`;
  const wanted = toWanted(identity, reference);
  if (wanted === undefined) {
    return `${field} puts signedPrefix before a name that is no reference then; correct it`;
  }
  if (isMatch(identity, wanted, name)) return undefined;
  const sameRepository = formatRepository(wanted) === formatRepository(name);
  const change = `set signedIdentity ${looser(identity, name)} at ${field}`;
  if (sameRepository && isNameOnly(name)) {
    return `it was made for the repository ${formatRepository(name)} without a tag, as cosign does by default, and ${identity.kind} wants ${formatReference(wanted)}; ${change}`;
  }
  if (sameRepository) {
    return `it was made for ${formatReference(name)}, and ${identity.kind} wants ${formatReference(wanted)}; sign that, or ${change}`;
  }
  return `it was made for another repository, ${formatRepository(name)}, and ${identity.kind} wants ${formatRepository(wanted)}; sign it under that name, or, if the other is its source, name it by exactRepository or remapIdentity at ${field}`;
}

/** Returns the rule that ignores tags, and how to write it. */
function looser(identity: NameRule, name: ImageIdentity): string {
  return identity.kind === 'exactReference' || identity.kind === 'remapIdentity'
    ? `exactRepository ({"type": "exactRepository", "dockerRepository": "${formatRepository(name)}"})`
    : 'matchRepository ({"type": "matchRepository"})';
}

/** Returns the name to compare with; undefined if a remapped name is invalid. */
function toWanted(identity: NameRule, reference: Reference): ImageIdentity | undefined {
  switch (identity.kind) {
    case 'exactReference':
      return identity.reference;
    case 'exactRepository':
      return identity.repository;
    case 'remapIdentity':
      return remap(identity.prefix, identity.signedPrefix, withoutSpareTag(reference));
    case 'matchExact':
    case 'matchRepoDigestOrExact':
    case 'matchRepository':
      return withoutSpareTag(reference);
  }
}

function isMatch(identity: NameRule, wanted: ImageIdentity, signed: ImageIdentity): boolean {
  switch (identity.kind) {
    case 'matchExact':
    case 'exactReference':
      return !isNameOnly(signed) && formatReference(signed) === formatReference(wanted);
    case 'matchRepository':
    case 'exactRepository':
      return formatRepository(signed) === formatRepository(wanted);
    case 'matchRepoDigestOrExact':
    case 'remapIdentity':
      if (isNameOnly(signed)) return false;
      return wanted.digest === undefined
        ? formatReference(signed) === formatReference(wanted)
        : formatRepository(signed) === formatRepository(wanted);
  }
}

/** A prefix ends at a slash or at the end of the name; a name without it is unchanged. */
function remap(prefix: string, signedPrefix: string, reference: Reference): ImageIdentity | undefined {
  const name = formatRepository(reference);
  if (!`${name}/`.startsWith(`${prefix}/`)) return reference;
  const text = signedPrefix + formatReference(reference).slice(prefix.length);
  const remapped = parseIdentity(text);
  return remapped !== undefined && formatReference(remapped) === text ? remapped : undefined;
}

/** The digest decides, so a tag beside it is ignored. */
export function withoutSpareTag({ tag, ...reference }: Reference): Reference {
  return tag === undefined || reference.digest !== undefined ? reference : { ...reference, tag };
}

function isNameOnly(identity: ImageIdentity): boolean {
  return identity.tag === undefined && identity.digest === undefined;
}

/** A name in Docker's form: without a registry it belongs to docker.io. */
function parseIdentity(text: string): ImageIdentity | undefined {
  try {
    const parsed = parseReference(text);
    const full = parsed.kind === 'full' ? parsed : parseReference(`docker.io/${text}`);
    if (full.kind === 'short') return undefined;
    const { tag, ...rest } = full.reference;
    const written = tag !== undefined && (tag !== 'latest' || /:latest(?:@|$)/.test(text));
    return written ? full.reference : rest;
  } catch {
    return undefined;
  }
}

function parseField(object: Table, key: string): ImageIdentity {
  const identity = parseIdentity(object.text(key) ?? '');
  if (identity !== undefined) return identity;
  return object.invalid(key, 'must be a reference, as in quay.io/acme/model');
}

function parsePrefix(object: Table, key: string): string {
  const prefix = object.text(key) ?? '';
  const example = parseIdentity(`${prefix}/x`);
  const full = /^(?:[^/]*[.:][^/]*|localhost)(?:\/|$)/.test(prefix);
  if (full && example !== undefined) return withoutHttpsPort(prefix);
  return object.invalid(key, 'must be host[:port][/namespace[/repository]]');
}
