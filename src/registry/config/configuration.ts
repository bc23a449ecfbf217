import { obstaclesOf, type Part, problemsOf, readPart } from '../../configfile/part.ts';
import { type Reading, watchFiles } from '../../configfile/watched-file.ts';
import { type HostCertificates, readCaFile, readHostCertificates } from './certificates.ts';
import { type HostsDir, readHostsDir } from './hosts-dir.ts';
import { concerns } from './rule-match.ts';
import { type Places, readRegistries, type Registries } from './registries.ts';
import type { TlsTrust } from '../http/tls-trust.ts';

/** What a node's administrator says of registries. A part that is broken leaves the others as they are. */
export type Configuration = {
  readonly registries: Part<Registries>;
  readonly hosts: Part<HostsDir>;
  readonly certificates: Part<HostCertificates>;
  /** What every server may prove itself by, beside the system's certificates. */
  readonly trust: Part<TlsTrust>;
};

export type ConfigurationFiles = Places & {
  readonly hostsDir: string | undefined;
  readonly certsDir: string | undefined;
  /** PEM certificates to trust for every registry. */
  readonly caFile: string | undefined;
};

/** The configuration as its files have it now, or had it when they were last right. */
export type LiveConfiguration = {
  /** Looks at the files once a second at most, and reads them again if they have changed. */
  current(): Configuration;
  /** What is wrong with the files now; nothing when what they say is in use. */
  problems(): readonly string[];
  /** Those of the problems for which something is refused, since the files never were right. */
  obstacles(): readonly string[];
};

const lookEveryMs = 1000;

/**
 * Reads the configuration. Later changes are seen when it is used; what is wrong is told by `note`, once, and by
 * `problems`. It throws nothing: what needs a file that is wrong from the start throws when it is used.
 *
 * @param now milliseconds of any clock that never goes back.
 */
export function openConfiguration(
  files: ConfigurationFiles,
  note: (text: string) => void,
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

/** @param before what a part says while its files are wrong. */
export function readConfiguration(
  files: ConfigurationFiles,
  reading: Reading,
  before?: Configuration,
): Configuration {
  return {
    registries: readPart(() => readRegistries(files, reading), before?.registries),
    hosts: readPart(() => readHostsDir(files.hostsDir, reading, before?.hosts), before?.hosts),
    certificates: readPart(
      () => readHostCertificates(files.certsDir, reading, before?.certificates),
      before?.certificates,
    ),
    trust: readPart(() => readCaFile(files.caFile, reading), before?.trust),
  };
}

/** A folder of a host is a part of its own. */
function partsOf({ registries, hosts, certificates, trust }: Configuration): readonly Part<unknown>[] {
  const folders = [hosts, certificates].flatMap((part): readonly Part<unknown>[] =>
    part.kind === 'broken' ? [] : [...part.value.values()],
  );
  return [registries, hosts, certificates, trust, ...folders];
}

/** Lines for the log. */
export function notesOf({ registries, hosts }: Configuration): readonly string[] {
  const notes: string[] = [];
  if (registries.kind !== 'broken') notes.push(...registries.value.notes);
  if (hosts.kind === 'broken') return notes;
  for (const [registry, part] of hosts.value) {
    if (part.kind === 'broken') continue;
    notes.push(...part.value.notes);
    if (registries.kind !== 'broken') notes.push(...shadows(registries.value, registry, part.value.file));
  }
  return notes;
}

/** Where both styles speak of one registry. */
function shadows(registries: Registries, registry: string, file: string): readonly string[] {
  return registries.rules
    .filter(rule => concerns(rule, registry))
    .map(
      rule =>
        `${file} is for ${registry}, and ${rule.file} has prefix "${rule.prefix}": what that matches goes by ${rule.file} alone`,
    );
}
