import type { Endpoint } from '../oci/endpoint.ts';
import {
  formatReference,
  formatRepository,
  parseRepository,
  type Reference,
  type Repository,
} from '../oci/reference.ts';
import { ArtifactError } from '../util/error.ts';
import type { Registries } from './registries.ts';
import type { RegistryRule } from './registries-conf.ts';

/**
 * Where a repository is asked for: the longest matching prefix gives way to its `location` (a wildcard to the whole
 * host), and docker.io's API is at registry-1.docker.io. A prefix that is a host matches every port of it, and one with
 * a tag or digest no repository, so it serves `blocked` alone.
 *
 * @throws ArtifactError `denied` for a blocked repository, and for a location that makes no repository of it.
 */
export function locate(registries: Registries, repository: Repository): Endpoint {
  const name = formatRepository(repository);
  const rule = findRule(registries, name);
  if (rule?.blocked === true) throw blockedError(name, rule);
  const target = rule?.location === undefined ? repository : relocate(name, rule, rule.location);
  return {
    host: target.registry === 'docker.io' ? 'registry-1.docker.io' : target.registry,
    path: target.path,
    insecure: rule?.insecure ?? false,
  };
}

/** What the node's configuration has against a reference: `denied`, naming prefix and file; undefined if nothing. */
export function refusalOf(registries: Registries, reference: Reference): ArtifactError | undefined {
  const name = formatReference(reference);
  const rule = findRule(registries, name);
  return rule?.blocked === true ? blockedError(name, rule) : undefined;
}

function findRule(registries: Registries, name: string): RegistryRule | undefined {
  return registries.rules.find(rule => matched(name, rule.prefix) !== undefined);
}

function relocate(name: string, rule: RegistryRule, location: string): Repository {
  const there = location + name.slice(matched(name, rule.prefix));
  try {
    return parseRepository(there);
  } catch (thrown) {
    throw new ArtifactError(
      'denied',
      `${name} cannot be found: ${rule.file} puts "${location}" in the place of "${rule.prefix}", and "${there}" is no repository; correct its location`,
      thrown,
    );
  }
}

/** How many characters of the name the prefix stands for; undefined when it does not match. */
function matched(name: string, prefix: string): number | undefined {
  if (prefix.startsWith('*.')) {
    const host = name.slice(0, name.search(/[:/]/));
    return host.endsWith(prefix.slice(1)) ? host.length : undefined;
  }
  if (!name.startsWith(prefix)) return undefined;
  const next = name.charAt(prefix.length);
  return next === '' || ':/@'.includes(next) ? prefix.length : undefined;
}

function blockedError(name: string, rule: RegistryRule): ArtifactError {
  return new ArtifactError(
    'denied',
    `${name} is blocked: ${rule.file} has blocked = true for prefix "${rule.prefix}"`,
  );
}
