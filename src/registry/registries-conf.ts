import { parseReference, parseRepository, type Repository } from '../oci/reference.ts';
import { ArtifactError } from '../util/error.ts';
import { beginning, parseRule, type RegistryRule, unusedKeys } from './registry-rule.ts';
import { parseToml, type TomlTable } from './toml-table.ts';

/** What is done with a short name that several search registries could have (containers-registries.conf(5)). */
export type ShortNameMode = 'enforcing' | 'permissive' | 'disabled';

/** A short name's full repository and the file that says so; without one, the file erases what earlier files said. */
export type Alias = { readonly repository?: Repository; readonly file: string };

/** What one file says; absent is what it is silent on. `notes` are lines for the log. */
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
 * Parses one file of containers' registries.conf, version 2. Keys that this driver does not use are no error but a
 * note; a `[[registry]]` whose prefix can match nothing is left out with a note, as containers matches nothing with it.
 *
 * @throws ArtifactError `invalid` naming file, line and key: not TOML, a value of another type, version 1.
 */
export function parseRegistriesConf(text: string, file: string): RegistriesConf {
  const top = parseToml(text, file);
  if (top.keys.includes('registries')) {
    throw new ArtifactError(
      'invalid',
      `${top.at('registries')} is version 1 of the format; write version 2: [[registry]] tables and unqualified-search-registries`,
    );
  }
  const search = top.texts('unqualified-search-registries')?.map(text => toSearchRegistry(text, top));
  const mode = toMode(top);
  const aliases = top.table('aliases');
  const tables = top.tables('registry');
  const notes: string[] = [];
  const rules = new Map<string, RegistryRule>();
  for (const table of tables) {
    const rule = parseRule(table, file);
    if (beginning(rule.prefix) === undefined) {
      notes.push(
        `${table.at('prefix')}: no reference begins with "${rule.prefix}"; this [[registry]] is left out`,
      );
    } else if (rules.has(rule.prefix)) {
      notes.push(
        `${table.at('prefix')}: "${rule.prefix}" came before in this file; this [[registry]] is left out`,
      );
    } else {
      rules.set(rule.prefix, rule);
    }
  }
  const unused = new Set([...top.keys.filter(key => !used.includes(key)), ...tables.flatMap(unusedKeys)]);
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

function toMode(top: TomlTable): ShortNameMode | undefined {
  const mode = top.text('short-name-mode');
  if (mode === undefined || mode === '') return undefined;
  if (isMode(mode)) return mode;
  throw new ArtifactError('invalid', `${top.at('short-name-mode')} must be one of ${modes.join(', ')}`);
}

function isMode(text: string): text is ShortNameMode {
  return modes.includes(text);
}

function toSearchRegistry(text: string, top: TomlTable): string {
  const registry = text.replace(/\/+$/, '');
  const parsed = /[*/]/.test(registry) ? undefined : beginning(registry);
  if (parsed !== undefined) return parsed.registry;
  const at = top.at('unqualified-search-registries');
  throw new ArtifactError(
    'invalid',
    `${at}: "${text}" is no registry; write host or host:port, with a dot or a port`,
  );
}

function toAlias(name: string, aliases: TomlTable, file: string): Alias {
  const value = aliases.text(name);
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

/** Puts the place in a file before what the parser of references says. */
function because<T>(at: string, parse: () => T): T {
  try {
    return parse();
  } catch (thrown) {
    throw new ArtifactError('invalid', `${at}: ${thrown instanceof Error ? thrown.message : ''}`, thrown);
  }
}
