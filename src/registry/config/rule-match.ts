import { formatReference, parseRepository, type Reference, type Repository } from '../../oci/reference.ts';
import { ArtifactError } from '../../util/error.ts';
import { quoteName } from '../../util/name.ts';
import type { Registries } from './registries.ts';
import type { RegistryRule } from './registry-rule.ts';

/** Returns why the configuration refuses a reference: `denied`, naming prefix and file; undefined if it does not. */
export function refusalOf(registries: Registries, reference: Reference): ArtifactError | undefined {
  const name = formatReference(reference);
  const rule = findRule(registries, name);
  return rule?.blocked === true ? blockedError(name, rule) : undefined;
}

/**
 * Returns the `[[registry]]` with the longest prefix that matches a repository or reference. A prefix that is a host
 * matches every port of it.
 */
export function findRule(registries: Registries, name: string): RegistryRule | undefined {
  return registries.rules.find(rule => matched(name, rule.prefix) !== undefined);
}

/** Whether a rule can match any repository of a registry. */
export function concerns(rule: RegistryRule, registry: string): boolean {
  return rule.prefix.startsWith(`${registry}/`) || matched(`${registry}/`, rule.prefix) !== undefined;
}

/**
 * Replaces the prefix of a rule, which is a whole host for a wildcard, by a location.
 *
 * @throws ArtifactError `denied` if the result is not a repository.
 */
export function relocate(name: string, rule: RegistryRule, location: string): Repository {
  const there = location + name.slice(matched(name, rule.prefix));
  try {
    return parseRepository(there);
  } catch (thrown) {
    throw new ArtifactError(
      'denied',
      `${name} cannot be found: ${rule.file} puts ${quoteName(location)} in the place of ${quoteName(rule.prefix)}, and ${quoteName(there)} is no repository; correct the location`,
      thrown,
    );
  }
}

/** Returns the number of characters that the prefix matches; undefined if it does not match. */
function matched(name: string, prefix: string): number | undefined {
  if (prefix.startsWith('*.')) {
    const host = name.slice(0, name.search(/[:/]/));
    return host.endsWith(prefix.slice(1)) ? host.length : undefined;
  }
  if (!name.startsWith(prefix)) return undefined;
  const next = name.charAt(prefix.length);
  return next === '' || ':/@'.includes(next) ? prefix.length : undefined;
}

export function blockedError(name: string, rule: RegistryRule): ArtifactError {
  return new ArtifactError(
    'denied',
    `${name} is blocked: ${rule.file} has blocked = true for prefix ${quoteName(rule.prefix)}; mount it from elsewhere, or change that file`,
  );
}
