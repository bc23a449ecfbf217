import { join } from 'node:path';
import type { Reading } from '../../configfile/watched-file.ts';
import { ArtifactError } from '../../util/error.ts';
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
  if (main === undefined && paths.file !== standard.file) throw absent(paths.file);
  const files = [main === undefined ? undeclared : parseRegistriesConf(main, paths.file)];
  const names = reading.names(paths.directory);
  if (names === undefined && paths.directory !== standard.directory) throw absent(paths.directory);
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

function absent(path: string): ArtifactError {
  return new ArtifactError(
    'invalid',
    `the registry configuration ${path} does not exist; name one that does`,
  );
}
