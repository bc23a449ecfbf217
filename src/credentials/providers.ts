import { join } from 'node:path';
import type { Field, Table } from '../configfile/field.ts';
import {
  type Note,
  type Part,
  problemsOf,
  type Reading,
  readPart,
  watchFiles,
} from '../configfile/watched-file.ts';
import { parseYaml } from '../configfile/yaml.ts';
import type { PodSecrets } from '../ports/kube.ts';
import { ArtifactError } from '../util/error.ts';
import { parseGoDuration } from '../util/go-duration.ts';
import type { CredentialSource } from './credential-source.ts';
import { openProvider, type ProviderConfig, type TokenAttributes } from './provider.ts';

export type ProviderOptions = {
  /** A CredentialProviderConfig, or a directory of them: *.json, *.yaml and *.yml in the order of their names. */
  readonly config: string;
  /** The directory of the plugins. */
  readonly directory: string;
};

/** What a keychain gives its providers. `closing` ends their programs. */
export type ProviderMeans = {
  readonly pods: PodSecrets | undefined;
  readonly note: Note;
  readonly closing: AbortSignal;
};

const flag = '--credential-provider-config';

/**
 * kubelet's credential provider plugins, in the order of their present configuration. When it changes, cached answers
 * are dropped. It is broken if kubelet would not accept it, if a program is missing, and if it uses annotations of
 * service accounts without `pods`, which provides them.
 */
export function openProviders(
  { config, directory }: ProviderOptions,
  { pods, note, closing }: ProviderMeans,
): () => Part<readonly CredentialSource[]> {
  const read = (reading: Reading): readonly CredentialSource[] => {
    const all = readTexts(config, reading).flatMap(({ path, text }) => parseProviderConfig(text, path));
    const twice = all.find(({ name }, index) => all.findIndex(other => other.name === name) !== index);
    if (twice !== undefined) {
      throw new ArtifactError('invalid', `${config} has the credential provider ${twice.name} twice`);
    }
    for (const provider of all) {
      verifyAnnotations(provider, pods);
      verifyProgram(join(directory, provider.name), reading);
    }
    return all.map(provider => openProvider(provider, directory, pods, closing));
  };
  return watchFiles<Part<readonly CredentialSource[]>>({
    what: `the credential provider configuration ${config}`,
    read: (reading, before) => readPart(() => read(reading), before),
    problemsOf,
    note,
  });
}

type FileText = { readonly path: string; readonly text: string };

function readTexts(config: string, reading: Reading): readonly FileText[] {
  const paths = reading.isDirectory(config)
    ? (reading.names(config) ?? [])
        .filter(name => /\.(?:json|ya?ml)$/.test(name))
        .map(name => join(config, name))
    : [config];
  if (paths.length === 0) {
    throw new ArtifactError('invalid', `${flag}: the directory ${config} has no *.json, *.yaml or *.yml`);
  }
  return paths.map(path => {
    const text = reading.text(path);
    if (text !== undefined) return { path, text };
    throw new ArtifactError(
      'invalid',
      `the credential provider configuration ${path} does not exist; correct ${flag}`,
    );
  });
}

function verifyAnnotations({ name, tokenAttributes }: ProviderConfig, pods: PodSecrets | undefined): void {
  if (pods !== undefined || tokenAttributes === undefined) return;
  const { requiredAnnotations, optionalAnnotations } = tokenAttributes;
  const field =
    requiredAnnotations.length > 0
      ? 'requiredServiceAccountAnnotationKeys'
      : optionalAnnotations.length > 0
        ? 'optionalServiceAccountAnnotationKeys'
        : undefined;
  if (field === undefined) return;
  throw new ArtifactError(
    'invalid',
    `the credential provider ${name} has ${field}, which only the Kubernetes API can tell; set --pod-pull-secrets, or remove that field`,
  );
}

function verifyProgram(path: string, reading: Reading): void {
  if (reading.isProgram(path)) return;
  throw new ArtifactError(
    'invalid',
    `the credential provider ${path} cannot be run: it does not exist or is not executable; correct --credential-provider-bin-dir or the configuration`,
  );
}

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
  const kind = top.get('kind') ?? top.refuse('has no kind; write kind: CredentialProviderConfig');
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
