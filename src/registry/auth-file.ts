import type { Credential } from '../oci/credential.ts';
import { toArtifactError } from '../util/error.ts';
import { canonicalHost } from './auth-key.ts';
import type { CredentialHelpers } from './credential-helper.ts';
import { candidates, type DockerConfig, type Origin, parseDockerConfig } from './docker-config.ts';
import { type LiveFile, openLiveFile } from './live-file.ts';
import type { Source } from './source.ts';

/** `--auth-file`: a docker config.json or containers auth.json. */
export type AuthFile = Source & Pick<LiveFile<DockerConfig>, 'read' | 'problem'>;

/** The one source whose `credHelpers` and `credsStore` are asked: no caller may choose programs that run as root. */
export function openAuthFile(
  path: string,
  helpers: CredentialHelpers,
  note: (text: string) => void,
): AuthFile {
  const origin: Origin = { name: `the auth file ${path}`, holder: { kind: 'node' }, code: 'internal' };
  const file = openLiveFile({
    what: 'the auth file',
    flag: '--auth-file',
    note,
    list: async () => [path],
    parse: async ([only]) => parseDockerConfig(only?.text ?? '', 'auths', origin),
  });
  return {
    name: origin.name,
    read: file.read,
    problem: file.problem,
    async find(place, _caller, signal) {
      const failures: string[] = [];
      for (const candidate of candidates([await file.read(signal)], place)) {
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
        why: `${failures.join('; ')}; it has no other entry for ${canonicalHost(place.host)}`,
      };
    },
  };
}
