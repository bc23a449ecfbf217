import type { Field, Table } from '../configfile/field.ts';
import { parseYaml } from '../configfile/yaml.ts';
import { parseGoDuration } from '../util/go-duration.ts';

/** One credential provider plugin, as in kubelet's CredentialProviderConfig. */
export type ProviderConfig = {
  /** The program's name in the directory of the plugins. */
  readonly name: string;
  /** The version of the request on its standard input and the response on its standard output. */
  readonly apiVersion: string;
  readonly matchImages: readonly string[];
  readonly defaultCacheMs: number;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly tokenAttributes?: TokenAttributes;
};

/** A provider that uses the token of a pod's service account. */
export type TokenAttributes = {
  readonly audience: string;
  readonly cacheType: 'ServiceAccount' | 'Token';
  /** If false, the provider is asked without a token if the caller has none. */
  readonly required: boolean;
  readonly requiredAnnotations: readonly string[];
  readonly optionalAnnotations: readonly string[];
};

const versions = ['v1', 'v1beta1', 'v1alpha1'];

/**
 * Parses a CredentialProviderConfig (kubelet.config.k8s.io/v1, v1beta1, v1alpha1), YAML or JSON. As in kubelet, an
 * unknown field is an error.
 *
 * @throws ArtifactError `invalid` naming file and field, without a value: `env` may contain secrets.
 */
export function parseProviderConfig(text: string, file: string): readonly ProviderConfig[] {
  const top = parseYaml(text, { kind: 'kubernetes', file });
  top.only('apiVersion', 'kind', 'providers');
  const kind = top.need('kind');
  if (kind.text() !== 'CredentialProviderConfig') kind.invalid('must be CredentialProviderConfig');
  verifyVersion(top.need('apiVersion'), 'kubelet.config.k8s.io');
  return top
    .need('providers')
    .list()
    .map(entry => toProvider(entry.table()));
}

function toProvider(entry: Table): ProviderConfig {
  entry.only('name', 'apiVersion', 'matchImages', 'defaultCacheDuration', 'args', 'env', 'tokenAttributes');
  const name = entry.need('name');
  if (/[/ \0]/.test(name.text()) || name.text() === '.' || name.text() === '..') {
    name.invalid('must be the name of a program, with no slash or space');
  }
  const apiVersion = verifyVersion(entry.need('apiVersion'), 'credentialprovider.kubelet.k8s.io');
  const duration = entry.need('defaultCacheDuration');
  const defaultCacheMs = parseGoDuration(duration.text());
  if (defaultCacheMs === undefined || defaultCacheMs < 0) {
    return duration.invalid('must be a duration such as 12h or 0s');
  }
  const tokens = entry.get('tokenAttributes');
  if (tokens !== undefined && !apiVersion.endsWith('/v1')) {
    tokens.refuse('needs apiVersion credentialprovider.kubelet.k8s.io/v1');
  }
  return {
    name: name.text(),
    apiVersion,
    matchImages: entry.need('matchImages').texts(),
    defaultCacheMs,
    args: entry.texts('args', 'be-empty') ?? [],
    environment: Object.fromEntries((entry.tables('env', 'be-empty') ?? []).map(toVariable)),
    ...(tokens === undefined ? {} : { tokenAttributes: toTokenAttributes(tokens.table()) }),
  };
}

function toVariable(entry: Table): readonly [name: string, value: string] {
  entry.only('name', 'value');
  return [entry.need('name').text(), entry.text('value', 'be-empty') ?? ''];
}

function toTokenAttributes(entry: Table): TokenAttributes {
  const [requiredKey, optionalKey] = [
    'requiredServiceAccountAnnotationKeys',
    'optionalServiceAccountAnnotationKeys',
  ];
  entry.only('serviceAccountTokenAudience', 'cacheType', 'requireServiceAccount', requiredKey, optionalKey);
  const written = entry.need('cacheType');
  const cacheType = written.text();
  if (cacheType !== 'ServiceAccount' && cacheType !== 'Token') {
    return written.invalid('must be ServiceAccount or Token');
  }
  const required = entry.need('requireServiceAccount');
  const requiredAnnotations = toNames(entry, requiredKey);
  const optionalAnnotations = toNames(entry, optionalKey);
  if (!required.flag() && requiredAnnotations.length > 0) {
    required.refuse('must be true where annotations are required');
  }
  if (requiredAnnotations.some(key => optionalAnnotations.includes(key))) {
    entry.refuse('has an annotation key that is both required and optional');
  }
  return {
    audience: entry.need('serviceAccountTokenAudience').text(),
    cacheType,
    required: required.flag(),
    requiredAnnotations,
    optionalAnnotations,
  };
}

/** The list may be empty, its texts not. */
function toNames(entry: Table, key: string): readonly string[] {
  return (entry.list(key, 'be-empty') ?? []).map(name => name.text());
}

function verifyVersion(field: Field, group: string): string {
  const version = field.text();
  if (versions.some(known => version === `${group}/${known}`)) return version;
  return field.refuse(`must be ${group}/ and ${versions.join(', ')}`);
}
