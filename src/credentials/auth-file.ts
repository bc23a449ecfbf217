import {
  type Note,
  type Part,
  problemsOf,
  readPart,
  valueOf,
  watchFiles,
} from '../configfile/watched-file.ts';
import type { Credential } from '../oci/credential.ts';
import { ArtifactError, toArtifactError } from '../util/error.ts';
import { canonicalHost } from './auth-key.ts';
import type { CredentialHelpers } from './credential-helper.ts';
import type { CredentialSource } from './credential-source.ts';
import { type CredentialOrigin, candidates, type DockerConfig, parseDockerConfig } from './docker-config.ts';

/** `--auth-file`: a docker config.json or containers auth.json. */
export type AuthFile = CredentialSource & {
  /** Returns the present content of the file. */
  readonly current: () => Part<DockerConfig>;
};

/**
 * The only source whose `credHelpers` and `credsStore` are used: a caller must not choose programs that run as root.
 */
export function openAuthFile(path: string, helpers: CredentialHelpers, note: Note): AuthFile {
  const origin: CredentialOrigin = {
    name: `the auth file ${path}`,
    holder: { kind: 'node' },
    code: 'internal',
  };
  const parse = (text: string | undefined): DockerConfig => {
    if (text !== undefined) return parseDockerConfig(text, 'auths', origin);
    throw new ArtifactError('invalid', `${origin.name} does not exist; correct --auth-file`);
  };
  const current = watchFiles<Part<DockerConfig>>({
    what: origin.name,
    read: (reading, before) => readPart(() => parse(reading.text(path)), before),
    problemsOf,
    note,
  });
  return {
    name: origin.name,
    current,
    async find(endpoint, _caller, signal) {
      const failures: string[] = [];
      for (const candidate of candidates([valueOf(current())], endpoint)) {
        if (candidate.kind === 'credential') return candidate;
        let credential: Credential | undefined;
        try {
          credential = await helpers.ask(candidate, signal);
        } catch (thrown) {
          signal.throwIfAborted();
          failures.push(toArtifactError(thrown).message);
        }
        if (credential !== undefined) return { kind: 'credential', credential };
      }
      if (failures.length === 0) return { kind: 'none' };
      return {
        kind: 'none',
        why: `${failures.join('; ')}; it has no other entry for ${canonicalHost(endpoint.host)}`,
      };
    },
  };
}
