import { toArtifactError } from '../util/error.ts';
import { type HostCertificates, noCertificates, readHostCertificates } from './certificates.ts';
import { type HostsDir, noHosts, readHostsDir } from './hosts-dir.ts';
import { concerns } from './locator.ts';
import { startReading, type Reading } from './reading.ts';
import { type Places, readRegistries, type Registries } from './registries.ts';

/** What a node's administrator says of registries. */
export type Configuration = {
  readonly registries: Registries;
  readonly hosts: HostsDir;
  readonly certificates: HostCertificates;
  /** Lines for the log. */
  readonly notes: readonly string[];
};

export type ConfigurationFiles = Places & {
  readonly hostsDir: string | undefined;
  readonly certsDir: string | undefined;
};

/** The configuration as its files have it now, or had it when they were last right. */
export type LiveConfiguration = {
  /** Looks at the files once a second at most, and reads them again if they have changed. */
  current(): Configuration;
  /** What is wrong with the files now; nothing when what they say is in use. */
  problems(): readonly string[];
};

const lookEveryMs = 1000;

/**
 * Reads the configuration. Later changes are seen when it is used; a change for the worse is told by `note`, once, and
 * by `problems`, and is otherwise as if it had not happened.
 *
 * @param now milliseconds of any clock that never goes back.
 * @throws ArtifactError `invalid` or `internal` naming the file, for one that is wrong at the start.
 */
export function openConfiguration(
  files: ConfigurationFiles,
  note: (text: string) => void,
  now: () => number = () => performance.now(),
): LiveConfiguration {
  const told = new Set<string>();
  const tell = (text: string): void => {
    if (told.has(text)) return;
    told.add(text);
    note(text);
  };
  let reading = startReading();
  let held = readConfiguration(files, reading);
  let lookedAt = now();
  let problem: string | undefined;
  held.notes.forEach(tell);

  function look(): void {
    if (now() - lookedAt < lookEveryMs) return;
    lookedAt = now();
    if (!reading.changed()) return;
    const before = problem ?? reading.contents();
    reading = startReading();
    try {
      held = readConfiguration(files, reading);
      problem = undefined;
      if (before === reading.contents()) return;
      told.clear();
      tell('the registry configuration has changed and was read again');
      held.notes.forEach(tell);
    } catch (thrown) {
      problem = `${toArtifactError(thrown).message}; until it is right, what was read before stays in use`;
      tell(problem);
    }
  }

  return {
    current() {
      look();
      return held;
    },
    problems() {
      look();
      return problem === undefined ? [] : [problem];
    },
  };
}

/** @throws ArtifactError naming the file that is missing or wrong. */
export function readConfiguration(files: ConfigurationFiles, reading: Reading): Configuration {
  const registries = readRegistries(files, reading);
  const hosts = files.hostsDir === undefined ? noHosts : readHostsDir(files.hostsDir, reading);
  const certificates =
    files.certsDir === undefined ? noCertificates : readHostCertificates(files.certsDir, reading);
  return {
    registries,
    hosts,
    certificates,
    notes: [...registries.notes, ...hosts.notes, ...shadows(registries, hosts)],
  };
}

/** Where both styles speak of one registry. */
function shadows(registries: Registries, hosts: HostsDir): readonly string[] {
  return [...hosts.named].flatMap(([registry, { file }]) =>
    registries.rules
      .filter(rule => concerns(rule, registry))
      .map(
        rule =>
          `${file} is for ${registry}, and ${rule.file} has prefix "${rule.prefix}": what that matches goes by ${rule.file} alone`,
      ),
  );
}
