import { hash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { Credential, Keyring } from '../oci/credential.ts';
import type { Endpoint } from '../oci/endpoint.ts';
import { ArtifactError } from '../util/error.ts';
import { canonicalHost } from './auth-key.ts';
import {
  type DockerConfig,
  type Found,
  findCredential,
  parseDockerConfig,
  toBasic,
} from './docker-config.ts';

type Secrets = Readonly<Record<string, string>>;

export type Keychain = {
  /**
   * What a caller has to show: from the call's secrets `.dockerconfigjson`, `.dockercfg`, then `username` and
   * `password`; then from the auth file; else anonymous, whose source says where nothing was found. Looked up by the
   * place that is really asked, so that a credential goes to no host but its own.
   *
   * Its `find` throws ArtifactError `invalid` for a malformed secret, `internal` for an auth file that is absent or
   * malformed, `unauthenticated` where only a credential helper has it. None quotes a secret.
   */
  open(caller: { readonly secrets: Secrets }): Keyring;
  /** Reads the auth file as `find` would. @throws ArtifactError `internal` as find does. */
  verify(signal: AbortSignal): Promise<void>;
};

const secretHolder = { kind: 'secret' } as const;

type Source = { readonly name: string; find(place: Endpoint, signal: AbortSignal): Promise<Found> | Found };

/** `authFile` is read when it is used, again only if it changed. */
export function openKeychain(options: { readonly authFile: string | undefined }): Keychain {
  const authFile = options.authFile === undefined ? undefined : openAuthFile(options.authFile);
  return {
    open({ secrets }) {
      const sources = [...toSources(secrets), ...(authFile === undefined ? [] : [authFile])];
      return {
        id: hash('sha256', JSON.stringify(secrets)),
        find: (place, signal) => find(sources, place, signal),
      };
    },
    async verify(signal) {
      await authFile?.read(signal);
    },
  };
}

async function find(sources: readonly Source[], place: Endpoint, signal: AbortSignal): Promise<Credential> {
  const misses: Found[] = [];
  for (const source of sources) {
    signal.throwIfAborted();
    const found = await source.find(place, signal);
    if (found.kind === 'credential') return found.credential;
    misses.push(found);
  }
  const elsewhere = misses.find(found => found.kind === 'elsewhere');
  if (elsewhere !== undefined) {
    throw new ArtifactError(
      'unauthenticated',
      `${elsewhere.why}, which is not supported yet; put user name and password into nodePublishSecretRef or the auth file`,
    );
  }
  const searched = sources.map(source => source.name).join(', ');
  const why = searched === '' ? '' : ` (no entry for ${canonicalHost(place.host)} in ${searched})`;
  return { kind: 'anonymous', holder: { kind: 'anyone' }, source: `anonymous${why}` };
}

/** The secrets of one call, in their order. Keys of other purposes are passed over. */
function toSources(secrets: Secrets): readonly Source[] {
  const sources: Source[] = [];
  for (const [key, form] of [['.dockerconfigjson', 'auths'] as const, ['.dockercfg', 'dockercfg'] as const]) {
    const text = secrets[key];
    if (text === undefined) continue;
    const origin = { name: `${key} of nodePublishSecretRef`, holder: secretHolder, code: 'invalid' } as const;
    sources.push({
      name: origin.name,
      find: place => findCredential(parseDockerConfig(text, form, origin), place),
    });
  }
  const { username, password } = secrets;
  if (username === undefined && password === undefined) return sources;
  const origin = {
    name: 'username and password of nodePublishSecretRef',
    holder: secretHolder,
    code: 'invalid',
  } as const;
  sources.push({
    name: origin.name,
    // They name no host, so they are for the registry of the reference, and no mirror of it sees them.
    find: ({ mirrorOf }) => {
      if (username === undefined || password === undefined) {
        throw new ArtifactError(
          'invalid',
          `nodePublishSecretRef has only one of username and password; give it both`,
        );
      }
      const credential = mirrorOf === undefined ? toBasic(username, password, '', origin) : undefined;
      return credential === undefined ? { kind: 'none' } : { kind: 'credential', credential };
    },
  });
  return sources;
}

type AuthFile = Source & { read(signal: AbortSignal): Promise<DockerConfig> };

function openAuthFile(path: string): AuthFile {
  const origin = { name: `the auth file ${path}`, holder: { kind: 'node' }, code: 'internal' } as const;
  let held: { readonly stamp: string; readonly config: DockerConfig } | undefined;

  async function read(signal: AbortSignal): Promise<DockerConfig> {
    await using file = await open(path).catch((thrown: unknown) => {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      throw new ArtifactError(
        'internal',
        `${origin.name} cannot be read: ${why}; correct --auth-file`,
        thrown,
      );
    });
    const { ino, size, mtimeNs } = await file.stat({ bigint: true });
    const stamp = `${ino} ${size} ${mtimeNs}`;
    if (held?.stamp !== stamp) {
      const text = await file.readFile({ encoding: 'utf8', signal });
      held = { stamp, config: parseDockerConfig(text, 'auths', origin) };
    }
    return held.config;
  }

  return {
    name: origin.name,
    read,
    find: async (place, signal) => findCredential(await read(signal), place),
  };
}
