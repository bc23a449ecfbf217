import type { Table } from '../../configfile/field.ts';
import { parseJsonObject } from '../../configfile/json.ts';
import {
  formatReference,
  formatRepository,
  parseReference,
  type Reference,
  withoutHttpsPort,
} from '../../oci/reference.ts';
import { ArtifactError } from '../../util/error.ts';
import { findNear } from '../../util/near.ts';
import { withoutSpareTag } from './identity.ts';
import { parseRequirement, type Requirement } from './requirement.ts';

/** Requirements that must all be met; never empty. `field` is their path in the file. */
export type Rule<R = Requirement> = { readonly field: string; readonly requirements: readonly R[] };

/** containers' policy.json. Its transport `docker` concerns registries. */
export type Policy<R = Requirement> = {
  readonly fallback: Rule<R>;
  /** By scope; the empty one applies to every reference of the transport. */
  readonly scopes: ReadonlyMap<string, Rule<R>>;
};

/**
 * Parses policy.json (containers-policy.json(5)). Requirements that this driver does not support are `unusable` and
 * refuse in their scope, while other scopes work; a document of another shape is an error as a whole. Transports other
 * than docker concern no registry and are ignored, but not a misspelt docker. `strict`: fields that containers does not
 * know are not supported.
 *
 * @throws ArtifactError `invalid` naming the field, or the line of a syntax error.
 */
export function parsePolicy(text: string, strict = false): Policy {
  const top = parseJsonObject(text);
  top.only('default', 'transports');
  const fallback = parseRule(top, 'default', strict);
  if (fallback === undefined) {
    throw new ArtifactError('invalid', 'default is missing; write "default": [{"type": "reject"}]');
  }
  const transports = top.table('transports');
  for (const name of transports?.keys ?? []) {
    if (name !== 'docker' && findNear(name, ['docker']) !== undefined) {
      const why = 'so its rules would not be in force';
      throw new ArtifactError(
        'invalid',
        `transports.${name} is not a transport (did you mean docker?), ${why}`,
      );
    }
  }
  const docker = transports?.table('docker');
  const scopes = new Map<string, Rule>();
  for (const scope of docker?.keys ?? []) {
    const rule = docker === undefined ? undefined : parseRule(docker, scope, strict);
    if (rule === undefined) continue;
    const name = withoutHttpsPort(scope);
    const same = scopes.get(name);
    // Two spellings of one registry: the requirements of both must be met.
    scopes.set(
      name,
      same === undefined ? rule : { ...rule, requirements: [...same.requirements, ...rule.requirements] },
    );
  }
  return { fallback, scopes };
}

function parseRule(object: Table, key: string, strict: boolean): Rule | undefined {
  const requirements = object.tables(key)?.map(written => parseRequirement(written, strict));
  return requirements && { field: object.at(key), requirements };
}

/**
 * Returns the rule for a reference, by its longest scope. That is the first that exists of: the reference itself; its
 * repository; each namespace above, up to host[:port]; `*.` and a domain above the host, the longest first, without
 * port; the empty scope; the default. Of a tag and a digest, the digest counts.
 */
export function findRule<R>(policy: Policy<R>, reference: Reference): Rule<R> {
  for (const scope of scopesOf(reference)) {
    const rule = policy.scopes.get(scope);
    if (rule !== undefined) return rule;
  }
  return policy.fallback;
}

function scopesOf(reference: Reference): readonly string[] {
  const scopes = [formatReference(withoutSpareTag(reference))];
  for (let name = formatRepository(reference); name !== ''; name = name.slice(0, name.lastIndexOf('/'))) {
    scopes.push(name);
    if (!name.includes('/')) break;
  }
  const labels = reference.registry.replace(/:\d+$/, '').split('.');
  for (let from = 1; from < labels.length; from += 1) scopes.push(`*.${labels.slice(from).join('.')}`);
  return [...scopes, ''];
}

/** Returns the scopes that no reference can match because they are not written in full. */
export function findIdleScopes(policy: Policy<unknown>): readonly string[] {
  return [...policy.scopes].flatMap(([scope, { field }]) => (canMatch(scope) ? [] : [field]));
}

function canMatch(scope: string): boolean {
  if (scope === '' || /^\*\.[^*/:@]+$/.test(scope)) return true;
  return [scope, `${scope}/x`].some(text => isScopeOf(scope, text));
}

/** Whether a text is a full reference to which that scope applies. */
function isScopeOf(scope: string, text: string): boolean {
  try {
    const parsed = parseReference(text);
    return parsed.kind === 'full' && scopesOf(parsed.reference).includes(scope);
  } catch {
    return false;
  }
}
