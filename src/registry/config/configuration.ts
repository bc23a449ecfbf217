import {
  lastGood,
  type Note,
  obstaclesOf,
  type Part,
  problemsOf,
  type Reading,
  readPart,
  watchFiles,
} from '../../configfile/watched-file.ts';
import { quoteName } from '../../util/name.ts';
import type { TlsTrust } from '../http/tls.ts';
import {
  type HostCertificates,
  type HostsDir,
  readCaFile,
  readHostCertificates,
  readHostsDir,
} from './hosts-dir.ts';
import { listLabelled } from './placement.ts';
import { concerns, type Registries, type RegistriesFiles, readRegistries } from './registries.ts';

/** The administrator's configuration of registries. A broken part leaves the others as they are. */
export type Configuration = {
  readonly registries: Part<Registries>;
  readonly hosts: Part<HostsDir>;
  readonly certificates: Part<HostCertificates>;
  /** CAs to trust for every server beside the system's. */
  readonly trust: Part<TlsTrust>;
  /** Whether the address of any mirror depends on labels of the node. */
  readonly isLabelled: boolean;
};

export type ConfigurationFiles = RegistriesFiles & {
  readonly hostsDir: string | undefined;
  readonly certsDir: string | undefined;
  /** The file of PEM certificates to trust for every registry. */
  readonly caFile: string | undefined;
};

/** Returns the configuration of the present files, or of their last good version. */
export type LiveConfiguration = {
  /** Checks the files at most once a second, and reads them again if they have changed. */
  current(): Configuration;
  /** Returns what is wrong with the present files; empty if they are in use. */
  problems(): readonly string[];
  /** Returns the problems that cause refusals, because the files never were right. */
  obstacles(): readonly string[];
};

const lookEveryMs = 1000;

/**
 * Reads the configuration. Later changes are seen when it is used. Errors are reported by `note`, once each, and by
 * `problems`. It never throws: what needs a file that is wrong from the start throws when it is used.
 *
 * @param now returns milliseconds of a monotonic clock.
 */
export function openConfiguration(
  files: ConfigurationFiles,
  note: Note,
  now: () => number = () => performance.now(),
): LiveConfiguration {
  const current = watchFiles<Configuration>({
    what: 'the registry configuration',
    read: (reading, before) => readConfiguration(files, reading, before),
    problemsOf: configuration => problemsOf(...partsOf(configuration)),
    notesOf,
    note,
    lookEveryMs,
    now,
  });
  current();
  return {
    current,
    problems: () => problemsOf(...partsOf(current())),
    obstacles: () => obstaclesOf(...partsOf(current())),
  };
}

/** @param before the value of a part while its files are wrong. */
export function readConfiguration(
  files: ConfigurationFiles,
  reading: Reading,
  before?: Configuration,
): Configuration {
  const registries = readPart(() => readRegistries(files, reading), before?.registries);
  const hosts = readPart(() => readHostsDir(files.hostsDir, reading, before?.hosts), before?.hosts);
  return {
    registries,
    hosts,
    isLabelled: listLabelled({ registries, hosts }).length > 0,
    certificates: readPart(
      () => readHostCertificates(files.certsDir, reading, before?.certificates),
      before?.certificates,
    ),
    trust: readPart(() => readCaFile(files.caFile, reading), before?.trust),
  };
}

/** The directory of a host is a part of its own. */
function partsOf({ registries, hosts, certificates, trust }: Configuration): readonly Part<unknown>[] {
  const directories = [hosts, certificates].flatMap((part): readonly Part<unknown>[] => [
    ...(lastGood<ReadonlyMap<string, Part<unknown>>>(part)?.values() ?? []),
  ]);
  return [registries, hosts, certificates, trust, ...directories];
}

/** Returns messages for the log. */
export function notesOf({ registries, hosts }: Configuration): readonly string[] {
  const notes: string[] = [];
  if (registries.kind !== 'broken') notes.push(...registries.value.notes);
  if (hosts.kind === 'broken') return notes;
  for (const [registry, part] of hosts.value) {
    if (part.kind === 'broken') continue;
    notes.push(...part.value.notes);
    if (registries.kind !== 'broken')
      notes.push(...shadows(registries.value, registry, part.value.directory));
  }
  return notes;
}

/** Reports registries that both styles configure. */
function shadows(registries: Registries, registry: string, directory: string): readonly string[] {
  return registries.rules
    .filter(rule => concerns(rule, registry))
    .map(
      rule =>
        `${directory} is for ${registry}, and ${rule.file} has prefix ${quoteName(rule.prefix)}: what that matches goes by ${rule.file} alone`,
    );
}
