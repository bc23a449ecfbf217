import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ArtifactError, errnoOf } from '../util/error.ts';
import {
  type Alias,
  parseRegistriesConf,
  type RegistriesConf,
  type RegistryRule,
  type ShortNameMode,
} from './registries-conf.ts';

/** All files together. `rules` have the longest prefix first; each setting knows the file it is from. */
export type Registries = {
  readonly search: { readonly registries: readonly string[]; readonly file: string };
  readonly mode: { readonly name: ShortNameMode; readonly file: string };
  readonly aliases: ReadonlyMap<string, Alias>;
  readonly rules: readonly RegistryRule[];
  readonly notes: readonly string[];
};

export type Places = { readonly file: string; readonly directory: string; readonly aliasesFile: string };

/** Where containers keeps them for root (containers-registries.conf(5)). */
export const standardPlaces: Places = {
  file: '/etc/containers/registries.conf',
  directory: '/etc/containers/registries.conf.d',
  aliasesFile: '/var/cache/containers/short-name-aliases.conf',
};

/**
 * Reads the file, then each `*.conf` of the directory in the order of names, then the aliases that containers
 * recorded. What is missing at its standard place is no error, what was named elsewhere is: without it, what an
 * administrator blocked would be open. With no main file, docker.io is the one search registry.
 *
 * @throws ArtifactError `invalid` naming the file, for one that is missing or wrong; `internal` for one unreadable.
 */
export async function readRegistries(places: Places, standard: Places = standardPlaces): Promise<Registries> {
  const main = await readText(places.file, places.file === standard.file);
  const files = [main === undefined ? undeclared : parseRegistriesConf(main, places.file)];
  for (const file of await listDropIns(places.directory, places.directory === standard.directory)) {
    const text = await readText(file, true);
    if (text !== undefined) files.push(parseRegistriesConf(text, file));
  }
  const recorded = await readText(places.aliasesFile, true);
  return mergeRegistries(
    files,
    recorded === undefined ? undefined : parseRegistriesConf(recorded, places.aliasesFile),
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
 * Later files win, key by key: lists are replaced, aliases by name, `[[registry]]` tables whole by prefix. Of
 * `recorded`, containers' short-name-aliases.conf, the aliases count and win over all; nothing else of it does.
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

/** Of prefixes equally long the first in order of characters wins, as with containers. */
function byLength(left: RegistryRule, right: RegistryRule): number {
  return right.prefix.length - left.prefix.length || (left.prefix < right.prefix ? -1 : 1);
}

async function readText(file: string, mayBeAbsent: boolean): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (thrown) {
    return absent(file, mayBeAbsent, thrown);
  }
}

/** Files and links of the directory itself, not of folders in it. */
async function listDropIns(directory: string, mayBeAbsent: boolean): Promise<readonly string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    const names = entries
      .filter(entry => !entry.isDirectory() && entry.name.endsWith('.conf'))
      .map(entry => entry.name);
    return names.sort().map(name => join(directory, name));
  } catch (thrown) {
    return absent(directory, mayBeAbsent, thrown) ?? [];
  }
}

function absent(path: string, mayBe: boolean, thrown: unknown): undefined {
  if (errnoOf(thrown) !== 'ENOENT') {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new ArtifactError('internal', `the registry configuration ${path} cannot be read: ${why}`, thrown);
  }
  if (!mayBe) {
    throw new ArtifactError(
      'invalid',
      `the registry configuration ${path} does not exist; name one that does`,
    );
  }
  return undefined;
}
