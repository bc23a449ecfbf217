import { ArtifactError } from '../util/error.ts';
import { quoteName } from '../util/name.ts';
import { suggest } from '../util/near.ts';
import { flags } from './flags.ts';
import type { Settings } from './settings.ts';

/** `cacheHigh` as the flag `--cache-high`. */
export function formatFlag(key: string): string {
  return `--${key.replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}`;
}

/** The environment variable of a flag. */
export function formatVariable(key: keyof Settings): string {
  return flags[key].variable ?? `OCI_ARTIFACT_${formatFlag(key).slice(2).replaceAll('-', '_').toUpperCase()}`;
}

/** What Kubernetes sets for a Service such as `oci-artifact-csi`, and what the tests of the project set. */
const foreign = /_SERVICE_HOST$|_SERVICE_PORT(?:_|$)|_PORT$|_PORT_\d+_|^OCI_ARTIFACT_TEST_/;

/** Says of each variable with the prefix of the flags that no flag has it. It has no effect, and may be misspelt. */
export function describeUnknown(
  environment: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  const known = Object.keys(flags).map(key => formatVariable(key as keyof Settings));
  return Object.keys(environment)
    .filter(name => name.startsWith('OCI_ARTIFACT_') && !known.includes(name) && !foreign.test(name))
    .map(
      name => `no flag has the environment variable ${quoteName(name)}${suggest(name, known)}; it is ignored`,
    );
}

/**
 * Combines flags (by key, as written), environment and defaults, in this order of precedence. An empty text means none
 * for an optional setting, and is an error for others.
 *
 * @throws ArtifactError `invalid` naming the flag or the variable.
 */
export function toSettings(
  given: Readonly<Record<string, unknown>>,
  environment: Readonly<Record<string, string | undefined>>,
): Settings {
  const one = <K extends keyof Settings>(key: K): Settings[K] => {
    const { parse, preset } = flags[key];
    // A flag without its optional value, such as `--register`.
    const flag = given[key] === true ? 'true' : given[key];
    const variable = environment[formatVariable(key)];
    const [text, from] =
      typeof flag === 'string' ? [flag, formatFlag(key)] : [variable ?? preset, formatVariable(key)];
    return named(from, () => parse(text));
  };
  const entries = Object.keys(flags).map(key => [key, one(key as keyof Settings)]);
  const settings = Object.fromEntries(entries) as Settings;
  if (settings.cacheLow > settings.cacheHigh) {
    throw new ArtifactError(
      'invalid',
      `--cache-low ${settings.cacheLow} is above --cache-high ${settings.cacheHigh}: garbage collection could not end`,
    );
  }
  if (settings.cacheHigh > settings.diskMax) {
    throw new ArtifactError(
      'invalid',
      `--cache-high ${settings.cacheHigh} is above --disk-max ${settings.diskMax}: pulls would fail before garbage collection begins`,
    );
  }
  if (
    (settings.credentialProviderConfig === undefined) !==
    (settings.credentialProviderBinDir === undefined)
  ) {
    throw new ArtifactError(
      'invalid',
      '--credential-provider-config and --credential-provider-bin-dir go together; give both or none',
    );
  }
  return settings;
}

/** What a value means. @throws ArtifactError `invalid` that begins with the flag or the variable it is from. */
export function named<T>(from: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof ArtifactError)) throw error;
    throw new ArtifactError('invalid', `${from}: ${error.message}`);
  }
}
