import { parse } from 'yaml';
import { quoteName } from '../oci/name.ts';
import { ArtifactError } from '../util/error.ts';
import { parseGoDuration } from './go-duration.ts';

/** One credential provider plugin, as kubelet's CredentialProviderConfig describes it. */
export type ProviderConfig = {
  /** The program's name in the folder of the plugins. */
  readonly name: string;
  /** Of the request on its input and the response on its output. */
  readonly apiVersion: string;
  readonly matchImages: readonly string[];
  readonly defaultCacheMs: number;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly tokenAttributes?: TokenAttributes;
};

/** A provider that answers for a pod's service account. */
export type TokenAttributes = {
  readonly audience: string;
  readonly cacheType: 'ServiceAccount' | 'Token';
  /** Where false, the provider is asked without a token for who has none. */
  readonly required: boolean;
  readonly requiredAnnotations: readonly string[];
  readonly optionalAnnotations: readonly string[];
};

type Fields = Readonly<Record<string, unknown>>;

const versions = ['v1', 'v1beta1', 'v1alpha1'];

/**
 * Parses a CredentialProviderConfig (kubelet.config.k8s.io/v1, v1beta1, v1alpha1), YAML or JSON. As in kubelet, a field
 * that nobody knows is an error.
 *
 * @throws ArtifactError `invalid` naming file and field, and quoting no value: `env` may hold secrets.
 */
export function parseProviderConfig(text: string, file: string): readonly ProviderConfig[] {
  const refuse: Refuse = (field, why) => {
    throw new ArtifactError('invalid', `the credential provider configuration ${file}: ${field} ${why}`);
  };
  let document: unknown;
  try {
    document = parse(text, { logLevel: 'error' });
  } catch {
    return refuse('it', 'is neither YAML nor JSON');
  }
  const top = toFields(document, 'it', ['apiVersion', 'kind', 'providers'], refuse);
  if (top['kind'] !== 'CredentialProviderConfig') refuse('kind', 'must be CredentialProviderConfig');
  if (!versions.some(version => top['apiVersion'] === `kubelet.config.k8s.io/${version}`)) {
    refuse('apiVersion', `must be kubelet.config.k8s.io/ and ${versions.join(', ')}`);
  }
  const providers = toList(top['providers'], 'providers', refuse);
  if (providers.length === 0) refuse('providers', 'must have one entry at least');
  return providers.map((provider, index) => toProvider(provider, `providers[${index}]`, refuse));
}

function toProvider(value: unknown, at: string, refuse: Refuse): ProviderConfig {
  const known = [
    'name',
    'apiVersion',
    'matchImages',
    'defaultCacheDuration',
    'args',
    'env',
    'tokenAttributes',
  ];
  const fields = toFields(value, at, known, refuse);
  const name = toText(fields['name'], `${at}.name`, refuse);
  if (/[/ \0]/.test(name) || name === '.' || name === '..') {
    refuse(`${at}.name`, 'must be the name of a program, with no slash or space');
  }
  const apiVersion = toText(fields['apiVersion'], `${at}.apiVersion`, refuse);
  if (!versions.some(version => apiVersion === `credentialprovider.kubelet.k8s.io/${version}`)) {
    refuse(`${at}.apiVersion`, `must be credentialprovider.kubelet.k8s.io/ and ${versions.join(', ')}`);
  }
  const matchImages = toTexts(fields['matchImages'], `${at}.matchImages`, refuse);
  if (matchImages.length === 0) refuse(`${at}.matchImages`, 'must have one entry at least');
  const defaultCacheMs = parseGoDuration(
    toText(fields['defaultCacheDuration'], `${at}.defaultCacheDuration`, refuse),
  );
  if (defaultCacheMs === undefined || defaultCacheMs < 0) {
    return refuse(`${at}.defaultCacheDuration`, 'must be a duration such as 12h or 0s');
  }
  const tokens = fields['tokenAttributes'] ?? undefined;
  if (tokens !== undefined && !apiVersion.endsWith('/v1')) {
    refuse(`${at}.tokenAttributes`, 'needs apiVersion credentialprovider.kubelet.k8s.io/v1');
  }
  return {
    name,
    apiVersion,
    matchImages,
    defaultCacheMs,
    args: toList(fields['args'] ?? [], `${at}.args`, refuse).map((arg, index) =>
      typeof arg === 'string' ? arg : refuse(`${at}.args[${index}]`, 'must be text; quote it'),
    ),
    environment: toEnvironment(fields['env'] ?? [], `${at}.env`, refuse),
    ...(tokens === undefined
      ? {}
      : { tokenAttributes: toTokenAttributes(tokens, `${at}.tokenAttributes`, refuse) }),
  };
}

function toEnvironment(value: unknown, at: string, refuse: Refuse): Readonly<Record<string, string>> {
  const pairs = toList(value, at, refuse).map((entry, index) => {
    const fields = toFields(entry, `${at}[${index}]`, ['name', 'value'], refuse);
    const name = toText(fields['name'], `${at}[${index}].name`, refuse);
    const content = fields['value'] ?? '';
    if (typeof content !== 'string') return refuse(`${at}[${index}].value`, 'must be text; quote it');
    return [name, content] as const;
  });
  return Object.fromEntries(pairs);
}

function toTokenAttributes(value: unknown, at: string, refuse: Refuse): TokenAttributes {
  const annotations = [
    'requiredServiceAccountAnnotationKeys',
    'optionalServiceAccountAnnotationKeys',
  ] as const;
  const known = ['serviceAccountTokenAudience', 'cacheType', 'requireServiceAccount', ...annotations];
  const fields = toFields(value, at, known, refuse);
  const { cacheType, requireServiceAccount: required } = fields;
  if (cacheType !== 'ServiceAccount' && cacheType !== 'Token') {
    return refuse(`${at}.cacheType`, 'must be ServiceAccount or Token');
  }
  if (typeof required !== 'boolean') return refuse(`${at}.requireServiceAccount`, 'must be true or false');
  const [requiredAnnotations = [], optionalAnnotations = []] = annotations.map(key =>
    toTexts(fields[key] ?? [], `${at}.${key}`, refuse),
  );
  if (!required && requiredAnnotations.length > 0) {
    refuse(`${at}.requireServiceAccount`, 'must be true where annotations are required');
  }
  if (requiredAnnotations.some(key => optionalAnnotations.includes(key))) {
    refuse(at, 'has an annotation key that is both required and optional');
  }
  const audience = toText(fields['serviceAccountTokenAudience'], `${at}.serviceAccountTokenAudience`, refuse);
  return { audience, cacheType, required, requiredAnnotations, optionalAnnotations };
}

type Refuse = (field: string, why: string) => never;

function toFields(value: unknown, at: string, known: readonly string[], refuse: Refuse): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return refuse(at, 'must be an object');
  const unknown = Object.keys(value).find(key => !known.includes(key));
  if (unknown !== undefined) {
    refuse(
      at,
      `has the field ${quoteName(unknown)}, which is unknown; the known fields are ${known.join(', ')}`,
    );
  }
  return value as Fields;
}

function toList(value: unknown, at: string, refuse: Refuse): readonly unknown[] {
  return Array.isArray(value) ? value : refuse(at, 'must be a list');
}

function toTexts(value: unknown, at: string, refuse: Refuse): readonly string[] {
  return toList(value, at, refuse).map((entry, index) => toText(entry, `${at}[${index}]`, refuse));
}

function toText(value: unknown, at: string, refuse: Refuse): string {
  return typeof value === 'string' && value !== '' ? value : refuse(at, 'must be text that is not empty');
}
