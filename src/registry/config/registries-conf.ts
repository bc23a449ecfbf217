import type { Table } from '../../configfile/field.ts';
import { parseToml } from '../../configfile/toml.ts';
import { parseReference, parseRepository, type Repository } from '../../oci/reference.ts';
import { ArtifactError, invalidValue } from '../../util/error.ts';
import { quoteName } from '../../util/name.ts';
import { beginning, parseRule, type RegistryRule, unusedKeys } from './registry-rule.ts';
import { listUnused } from './unused-keys.ts';

/** How a short name with several possible search registries is handled (containers-registries.conf(5)). */
export type ShortNameMode = 'enforcing' | 'permissive' | 'disabled';

/**
 * The full repository of a short name, and the file that defines it. Without a repository, the file removes earlier
 * definitions.
 */
export type Alias = { readonly repository?: Repository; readonly file: string };

/** The settings of one file; absent means not set. `notes` are messages for the log. */
export type RegistriesConf = {
  readonly file: string;
  readonly search?: readonly string[];
  readonly mode?: ShortNameMode;
  readonly aliases: ReadonlyMap<string, Alias>;
  readonly rules: readonly RegistryRule[];
  readonly notes: readonly string[];
};

const modes: readonly string[] = ['enforcing', 'permissive', 'disabled'] satisfies ShortNameMode[];
const used = ['unqualified-search-registries', 'short-name-mode', 'aliases', 'registry'];

/**
 * Parses one file of containers' registries.conf, version 2. Keys that this driver does not use are not an error but a
 * note. A `[[registry]]` whose prefix can match nothing is ignored with a note, because containers matches nothing with
 * it either.
 *
 * @throws ArtifactError `invalid` naming file, line and key: not TOML, a value of the wrong type, version 1, a
 *   `[[registry]]` without location, or two with the same location that disagree in `blocked` or `insecure`. containers
 *   refuses the same.
 */
export function parseRegistriesConf(text: string, file: string): RegistriesConf {
  const top = parseToml(text, file);
  if (top.keys.includes('registries')) {
    throw new ArtifactError(
      'invalid',
      `${top.at('registries')} is version 1 of the format; write version 2: [[registry]] tables and unqualified-search-registries`,
    );
  }
  const search = top
    .texts('unqualified-search-registries', 'be-empty')
    ?.map(text => toSearchRegistry(text, top));
  const mode = toMode(top);
  const aliases = top.table('aliases');
  const tables = top.tables('registry', 'be-empty') ?? [];
  const notes: string[] = [];
  const rules = new Map<string, RegistryRule>();
  const byLocation = new Map<string, RegistryRule>();
  for (const table of tables) {
    const rule = parseRule(table, file);
    verifyAgreement(rule, byLocation, table);
    const at = table.at(table.keys.includes('prefix') ? 'prefix' : 'location');
    if (beginning(rule.prefix) === undefined) {
      notes.push(`${at}: no reference begins with ${quoteName(rule.prefix)}; this [[registry]] is left out`);
    } else if (rules.has(rule.prefix)) {
      notes.push(`${at}: ${quoteName(rule.prefix)} came before in this file; this [[registry]] is left out`);
    } else {
      rules.set(rule.prefix, rule);
    }
  }
  const unused = new Set([...listUnused(top, '', used), ...tables.flatMap(unusedKeys)]);
  if (unused.size > 0) notes.push(`${file}: not used by this driver: ${[...unused].join(', ')}`);
  return {
    file,
    ...(search === undefined ? {} : { search }),
    ...(mode === undefined ? {} : { mode }),
    aliases: new Map(aliases?.keys.map(name => [name, toAlias(name, aliases, file)])),
    rules: [...rules.values()],
    notes,
  };
}

/** Refuses two tables for one location or wildcard that disagree: neither clearly wins. */
function verifyAgreement(rule: RegistryRule, byLocation: Map<string, RegistryRule>, table: Table): void {
  const location = rule.location ?? rule.prefix;
  const before = byLocation.get(location) ?? rule;
  byLocation.set(location, before);
  for (const key of ['blocked', 'insecure'] as const) {
    if (before[key] === rule[key]) continue;
    throw new ArtifactError(
      'invalid',
      `${table.at(table.keys.includes(key) ? key : 'location')}: ${quoteName(location)} has ${key} = ${before[key]} in another [[registry]] of this file; write the same in both`,
    );
  }
}

function toMode(top: Table): ShortNameMode | undefined {
  const mode = top.text('short-name-mode', 'be-empty');
  if (mode === undefined || mode === '') return undefined;
  if (isMode(mode)) return mode;
  return top.invalid('short-name-mode', `must be one of ${modes.join(', ')}`);
}

function isMode(text: string): text is ShortNameMode {
  return modes.includes(text);
}

function toSearchRegistry(text: string, top: Table): string {
  const registry = text.replace(/\/+$/, '');
  const parsed = /[*/]/.test(registry) ? undefined : beginning(registry);
  if (parsed !== undefined) return parsed.registry;
  const at = top.at('unqualified-search-registries');
  throw invalidValue('registry', text, 'must be host or host:port, with a dot or a port', at);
}

function toAlias(name: string, aliases: Table, file: string): Alias {
  const value = aliases.text(name, 'be-empty');
  const parsed = because(aliases.at(name), () => parseReference(name));
  if (parsed.kind === 'full' || parsed.name !== name) {
    throw new ArtifactError(
      'invalid',
      `${aliases.at(name)} must be a short name: no registry, no tag, no digest`,
    );
  }
  if (value === undefined || value === '') return { file };
  return { file, repository: because(aliases.at(name), () => parseRepository(value)) };
}

/** Prefixes the parser's error with the file and key. */
function because<T>(at: string, parse: () => T): T {
  try {
    return parse();
  } catch (thrown) {
    throw new ArtifactError('invalid', `${at}: ${thrown instanceof Error ? thrown.message : ''}`, thrown);
  }
}
