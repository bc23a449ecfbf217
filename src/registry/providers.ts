import { access, constants, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ArtifactError } from '../util/error.ts';
import { type LiveFile, openLiveFile } from './live-file.ts';
import { openProvider } from './provider.ts';
import { type ProviderConfig, parseProviderConfig } from './provider-config.ts';
import type { Pods, Source } from './source.ts';

export type ProviderOptions = {
  /** A CredentialProviderConfig, or a folder of them: *.json, *.yaml and *.yml in the order of their names. */
  readonly config: string;
  /** Where their programs are. */
  readonly folder: string;
};

const flag = '--credential-provider-config';

/**
 * kubelet's credential provider plugins, in the order of their configuration, which is read again when it changes; what
 * the providers answered before is forgotten then.
 *
 * Reading throws ArtifactError `invalid` for a configuration that kubelet would not take, for a program that is not in
 * the folder, and for annotations of service accounts without `pods`, which knows them.
 */
export function openProviders(
  { config, folder }: ProviderOptions,
  pods: Pods | undefined,
  note: (text: string) => void,
  closing: AbortSignal,
): LiveFile<readonly Source[]> {
  return openLiveFile({
    what: 'the credential provider configuration',
    flag,
    note,
    list: () => listFiles(config),
    parse: async files => {
      const all = files.flatMap(({ path, text }) => parseProviderConfig(text, path));
      const twice = all.find(({ name }, index) => all.findIndex(other => other.name === name) !== index);
      if (twice !== undefined) {
        throw new ArtifactError('invalid', `${config} has the credential provider ${twice.name} twice`);
      }
      for (const provider of all) {
        verifyAnnotations(provider, pods);
        await verifyProgram(join(folder, provider.name));
      }
      return all.map(provider => openProvider(provider, folder, pods, closing));
    },
  });
}

async function listFiles(config: string): Promise<readonly string[]> {
  const isFolder = await stat(config).then(
    found => found.isDirectory(),
    () => false, // opening it will say why
  );
  if (!isFolder) return [config];
  const names = (await readdir(config)).filter(name => /\.(?:json|ya?ml)$/.test(name));
  if (names.length === 0) {
    throw new ArtifactError('invalid', `${flag}: the folder ${config} has no *.json, *.yaml or *.yml`);
  }
  return names.sort().map(name => join(config, name));
}

function verifyAnnotations({ name, tokenAttributes }: ProviderConfig, pods: Pods | undefined): void {
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

async function verifyProgram(path: string): Promise<void> {
  await access(path, constants.X_OK).catch((thrown: unknown) => {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new ArtifactError(
      'invalid',
      `the credential provider ${path} cannot be run: ${why}; correct --credential-provider-bin-dir or the configuration`,
      thrown,
    );
  });
}
