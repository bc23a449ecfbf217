import { join } from 'node:path';
import { type Part, problemsOf, type Reading, readPart, watchFiles } from '../configfile/watched-file.ts';
import type { PodSecrets } from '../ports/kube.ts';
import { ArtifactError } from '../util/error.ts';
import type { CredentialSource } from './credential-source.ts';
import { openProvider } from './provider.ts';
import { type ProviderConfig, parseProviderConfig } from './provider-config.ts';

export type ProviderOptions = {
  /** A CredentialProviderConfig, or a directory of them: *.json, *.yaml and *.yml in the order of their names. */
  readonly config: string;
  /** The directory of the plugins. */
  readonly directory: string;
};

/** What a keychain gives its providers. `closing` ends their programs. */
export type ProviderMeans = {
  readonly pods: PodSecrets | undefined;
  readonly note: (text: string) => void;
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
