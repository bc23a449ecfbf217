import { join } from 'node:path';
import { type Part, type Reading, valueOf } from '../../configfile/watched-file.ts';
import {
  formatReference,
  type ParsedReference,
  parseReference,
  parseRepository,
  type Reference,
  type Repository,
} from '../../oci/reference.ts';
import { ArtifactError } from '../../util/error.ts';
import { quoteName } from '../../util/name.ts';
import {
  type Alias,
  parseRegistriesConf,
  type RegistriesConf,
  type ShortNameMode,
} from './registries-conf.ts';
import type { RegistryRule } from './registry-rule.ts';

/** The settings of all files. `rules` are sorted by length of prefix, longest first. Each setting names its file. */
export type Registries = {
  readonly search: { readonly registries: readonly string[]; readonly file: string };
  readonly mode: { readonly name: ShortNameMode; readonly file: string };
  readonly aliases: ReadonlyMap<string, Alias>;
  readonly rules: readonly RegistryRule[];
  readonly notes: readonly string[];
};

export type RegistriesFiles = {
  readonly file: string;
  readonly directory: string;
  readonly aliasesFile: string;
};

/** The standard paths of containers for root (containers-registries.conf(5)). */
export const standardFiles: RegistriesFiles = {
  file: '/etc/containers/registries.conf',
  directory: '/etc/containers/registries.conf.d',
  aliasesFile: '/var/cache/containers/short-name-aliases.conf',
};

/**
 * Reads the main file, then each `*.conf` of the directory in the order of names, then the aliases that containers
 * recorded. A missing file is an error unless it is at its standard path: otherwise a repository that an administrator
 * blocked would be open. Without a main file, docker.io is the only search registry.
 *
 * @throws ArtifactError `invalid` naming the file if it is missing or wrong; `internal` if it cannot be read.
 */
export function readRegistries(
  paths: RegistriesFiles,
  reading: Reading,
  standard: RegistriesFiles = standardFiles,
): Registries {
  const main = reading.text(paths.file);
  if (main === undefined && paths.file !== standard.file) throw absent(paths.file, '--registries-conf');
  const files = [main === undefined ? undeclared : parseRegistriesConf(main, paths.file)];
  const names = reading.names(paths.directory);
  if (names === undefined && paths.directory !== standard.directory)
    throw absent(paths.directory, '--registries-conf-dir');
  for (const name of names ?? []) {
    const file = join(paths.directory, name);
    const text = name.endsWith('.conf') && !reading.isDirectory(file) ? reading.text(file) : undefined;
    if (text !== undefined) files.push(parseRegistriesConf(text, file));
  }
  const recorded = reading.text(paths.aliasesFile);
  return mergeRegistries(
    files,
    recorded === undefined ? undefined : parseRegistriesConf(recorded, paths.aliasesFile),
  );
}

const undeclared: RegistriesConf = {
  file: 'the built-in default',
  search: ['docker.io'],
  aliases: new Map(),
  rules: [],
  notes: [],
};

/**
 * Merges the files. Later files win, key by key: lists are replaced, aliases merge by name, and `[[registry]]` tables
 * are replaced whole by prefix. `recorded` is containers' short-name-aliases.conf: only its aliases count, and they win
 * over all.
 */
export function mergeRegistries(files: readonly RegistriesConf[], recorded?: RegistriesConf): Registries {
  let search: Registries['search'] = { registries: [], file: files[0]?.file ?? undeclared.file };
  let mode: Registries['mode'] = { name: 'permissive', file: undeclared.file };
  const aliases = new Map<string, Alias>();
  const rules = new Map<string, RegistryRule>();
  for (const conf of files) {
    if (conf.search !== undefined) search = { registries: [...new Set(conf.search)], file: conf.file };
    if (conf.mode !== undefined) mode = { name: conf.mode, file: conf.file };
    for (const [name, alias] of conf.aliases) aliases.set(name, alias);
    for (const rule of conf.rules) rules.set(rule.prefix, rule);
  }
  for (const [name, alias] of recorded?.aliases ?? []) aliases.set(name, alias);
  return {
    search,
    mode,
    aliases,
    rules: [...rules.values()].sort(byLength),
    notes: files.flatMap(conf => conf.notes),
  };
}

/** Of prefixes with equal length, the first in character order wins, as in containers. */
function byLength(left: RegistryRule, right: RegistryRule): number {
  return right.prefix.length - left.prefix.length || (left.prefix < right.prefix ? -1 : 1);
}

function absent(path: string, flag: string): ArtifactError {
  return new ArtifactError('invalid', `the registry configuration ${path} does not exist; correct ${flag}`);
}

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

/**
 * Returns the full references to try, in order. A full reference is returned as it is. A short name expands to its
 * alias, or else to one candidate per search registry; blocked candidates are skipped while others remain. Tag and
 * digest are kept. While the configuration is broken, a full reference is still returned: cached content stays
 * available, and the route decides whether it is blocked.
 *
 * @throws ArtifactError `invalid` for an invalid reference, for a short name that cannot be completed, and for one with
 *   several candidates if short-name-mode is enforcing (a daemon cannot prompt); `denied` if all candidates are
 *   blocked; `unavailable` for a short name while the configuration is broken.
 */
export function expand(configured: Part<Registries>, text: string): readonly Reference[] {
  const parsed = parseReference(text);
  if (parsed.kind === 'full' && configured.kind === 'broken') return [parsed.reference];
  const registries = valueOf(configured);
  const candidates = parsed.kind === 'full' ? [parsed.reference] : complete(registries, parsed, text);
  const refusals = candidates.map(candidate => refusalOf(registries, candidate));
  const open = candidates.filter((_, index) => refusals[index] === undefined);
  const refusal = refusals.find(refused => refused !== undefined);
  if (open.length === 0 && refusal !== undefined) throw refusal;
  return open;
}

function complete(
  registries: Registries,
  { kind: _, name, ...version }: ParsedReference & { readonly kind: 'short' },
  text: string,
): readonly Reference[] {
  const alias = registries.aliases.get(name)?.repository;
  if (alias !== undefined) return [{ ...alias, ...version }];
  const { search, mode } = registries;
  const candidates = search.registries.flatMap(registry => {
    const full = parseReference(formatReference({ registry, path: name, ...version }));
    return full.kind === 'full' ? [full.reference] : [];
  });
  if (candidates.length === 0) {
    throw new ArtifactError(
      'invalid',
      looksLikeRegistry(name)
        ? `"${text}" names a registry without a repository; write ${text}/repository`
        : `"${text}" is a short name, and ${search.file} has neither an alias for it nor unqualified-search-registries; write registry/${text}`,
    );
  }
  if (mode.name === 'enforcing' && candidates.length > 1) {
    throw new ArtifactError(
      'invalid',
      `"${name}" is a short name of ${candidates.map(formatReference).join(' or ')}, and ${mode.file} has short-name-mode = "enforcing"; write one of them, or add an alias there`,
    );
  }
  return candidates;
}

/** A short name that would be a registry if a path followed. */
function looksLikeRegistry(name: string): boolean {
  return !name.includes('/') && (name === 'localhost' || name.includes('.'));
}
