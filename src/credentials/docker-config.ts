import type { Credential, Holder } from '../oci/credential.ts';
import { ArtifactError, type ErrorCode } from '../util/error.ts';
import { isObject, type JsonObject, parseJson } from '../util/json.ts';
import { quoteName } from '../util/name.ts';
import {
  type AuthKey,
  bySpecificity,
  canonicalHost,
  isGlob,
  keyMatches,
  parseAuthKey,
  type RegistryPath,
} from './auth-key.ts';

/**
 * The source of a configuration, for messages; the identity that its credentials stand for; and the code of its errors.
 */
export type CredentialOrigin = { readonly name: string; readonly holder: Holder; readonly code: ErrorCode };

/** The credentials of a docker config.json, a containers auth.json or a Kubernetes pull secret. */
export type DockerConfig = {
  readonly origin: CredentialOrigin;
  readonly entries: readonly Entry[];
  /** `credsStore`: the helper for registries without an entry. */
  readonly store: unknown;
};

type Entry = {
  readonly key: AuthKey;
  /** The key as written in the file. */
  readonly written: string;
  /** `credHelpers` names a helper, `auths` contains the credential. */
  readonly kind: 'program' | 'auth';
  readonly value: unknown;
  readonly origin: CredentialOrigin;
};

/** A credential that matches a repository; or the helper `docker-credential-<name>` to ask for `server`. */
export type CredentialCandidate =
  | { readonly kind: 'credential'; readonly credential: Credential }
  | {
      readonly kind: 'program';
      readonly name: string;
      readonly server: string;
      readonly field: 'credHelpers' | 'credsStore';
      readonly origin: CredentialOrigin;
    };

/**
 * Parses a config.json (`auths`, `credHelpers`, `credsStore`), or the older form with the entries at the top level
 * (`.dockercfg`). Entries are validated only when they are used.
 *
 * @throws ArtifactError with the origin's code; it never quotes the text, which contains secrets.
 */
export function parseDockerConfig(
  text: string,
  form: 'auths' | 'dockercfg',
  origin: CredentialOrigin,
): DockerConfig {
  let parsed: unknown;
  try {
    parsed = parseJson(text);
  } catch {
    throw new ArtifactError(origin.code, `${origin.name} is not JSON; write it again as docker login does`);
  }
  const top = toFields(parsed, '', origin);
  if (form === 'dockercfg') return toDockerConfig(top, origin);
  if (Object.keys(top).length > 0 && !known.some(key => key in top))
    throw new ArtifactError(origin.code, `${origin.name} has none of ${known.join(', ')}`);
  const helpers = toFields(top['credHelpers'] ?? {}, 'its "credHelpers"', origin);
  const { entries } = toDockerConfig(toFields(top['auths'] ?? {}, 'its "auths"', origin), origin);
  return {
    origin,
    entries: [...toEntries(helpers, 'program', origin), ...entries],
    store: top['credsStore'] ?? '',
  };
}

/** A file of another kind would count as one without credentials. */
const known = ['auths', 'credHelpers', 'credsStore'] as const;

/** Entries by their keys, as in `auths`. */
export function toDockerConfig(auths: JsonObject, origin: CredentialOrigin): DockerConfig {
  return { origin, entries: toEntries(auths, 'auth', origin), store: '' };
}

/**
 * Returns the entries that may match a repository, the most specific key first: host/namespace/repository, then
 * host/namespace, then host. Of equal ones, an exact host comes before a glob, a plain key before one with a scheme or
 * `/v1/`, and a helper before an entry. Empty entries are skipped. The stores come last.
 *
 * @throws ArtifactError with the origin's code when a malformed candidate is reached; it names the key and not the
 *   content.
 */
export function* candidates(
  configs: readonly DockerConfig[],
  endpoint: RegistryPath,
): Generator<CredentialCandidate> {
  const host = canonicalHost(endpoint.host);
  const budget = { steps: maxGlobSteps };
  const matching = configs
    .flatMap(config => config.entries)
    .filter(entry => {
      const matches = keyMatches(entry.key, host, endpoint.path, budget);
      if (budget.steps < 0) throw tooManyGlobs(entry.origin, host);
      return matches;
    })
    .sort((left, right) => bySpecificity(left.key, right.key));
  for (const { kind, key, written, value, origin } of matching) {
    if (kind === 'auth') {
      const credential = toCredential({ key, value, origin });
      if (credential !== undefined) yield { kind: 'credential', credential };
    } else {
      const server = isGlob(key.host) ? host : written;
      yield {
        kind: 'program',
        name: toName(value, 'credHelpers', origin),
        server,
        field: 'credHelpers',
        origin,
      };
    }
  }
  for (const { store, origin } of configs) {
    if (store === '') continue;
    const written = matching.find(entry => entry.origin === origin && !isGlob(entry.key.host))?.written;
    const server = written ?? (host === 'docker.io' ? hubServer : host);
    yield { kind: 'program', name: toName(store, 'credsStore', origin), server, field: 'credsStore', origin };
  }
}

/** About a tenth of a second of work, for all keys of a lookup: a pull secret may have megabytes of stars. */
const maxGlobSteps = 1_000_000;

function tooManyGlobs({ code, name }: CredentialOrigin, host: string): ArtifactError {
  return new ArtifactError(
    code,
    `${name} cannot be used: its keys take too long to match against ${host}; write fewer keys with globs, with fewer stars`,
  );
}

/** The key under which `docker login` without a host stores its credential. */
const hubServer = 'https://index.docker.io/v1/';

function toEntries(fields: JsonObject, kind: Entry['kind'], origin: CredentialOrigin): readonly Entry[] {
  return Object.entries(fields).map(([written, value]) => ({
    key: parseAuthKey(written),
    written,
    kind,
    value,
    origin,
  }));
}

/** Such a name contains no path and is not an option. */
function toName(value: unknown, field: string, origin: CredentialOrigin): string {
  if (typeof value === 'string' && /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(value)) return value;
  const written = typeof value === 'string' ? ` ${quoteName(value)}` : '';
  throw new ArtifactError(
    origin.code,
    `${origin.name} cannot be used: "${field}": invalid program${written}: must be the <name> of docker-credential-<name>, of letters, digits, dots, dashes and underscores`,
  );
}

/** @throws ArtifactError with the origin's code if the two cannot be sent in an Authorization header. */
export function toBasic(
  username: string,
  password: string,
  label: string,
  origin: CredentialOrigin,
): Credential | undefined {
  if (username === '' && password === '') return undefined;
  if (/[\r\n\0]/.test(username + password)) {
    throw malformed(
      label,
      'user name or password has a line break or NUL in it; store it without (printf, not echo)',
      origin,
    );
  }
  if (username.includes(':')) throw malformed(label, 'the user name has a colon', origin);
  return {
    kind: 'basic',
    holder: origin.holder,
    source: label === '' ? origin.name : `${origin.name} (${label})`,
    username,
    password,
  };
}

function toCredential({ key, value, origin }: Omit<Entry, 'kind' | 'written'>): Credential | undefined {
  const { host, path } = key;
  const label = path === '' ? host : `${host}/${path}`;
  const fields = toFields(value, `its entry for ${label}`, origin);
  const field = (name: string): string => {
    const text = fields[name] ?? '';
    if (typeof text === 'string') return text;
    throw malformed(label, `"${name}" is not text`, origin);
  };
  const token = field('identitytoken');
  if (token !== '') {
    return { kind: 'identity-token', holder: origin.holder, source: `${origin.name} (${label})`, token };
  }
  const auth = field('auth').replace(/[\r\n]/g, '');
  if (auth === '') {
    const [given, absent] = fields['username'] == null ? ['password', 'username'] : ['username', 'password'];
    if (fields[given] != null && fields[absent] == null)
      throw malformed(
        label,
        `there is a ${given} and no ${absent}; write both, as docker login does`,
        origin,
      );
    return toBasic(field('username'), field('password'), label, origin);
  }
  const decoded = decode(auth);
  const colon = decoded?.indexOf(':') ?? -1;
  if (decoded === undefined || colon === -1) {
    throw malformed(label, '"auth" is not base64 of user:password', origin);
  }
  return toBasic(decoded.slice(0, colon), decoded.slice(colon + 1), label, origin);
}

function decode(base64: string): string | undefined {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(base64, 'base64'));
  } catch {
    return undefined;
  }
}

function toFields(value: unknown, what: string, origin: CredentialOrigin): JsonObject {
  if (isObject(value)) return value;
  throw new ArtifactError(
    origin.code,
    `${origin.name} cannot be used: ${what === '' ? 'it' : what} is not a JSON object`,
  );
}

function malformed(label: string, why: string, origin: CredentialOrigin): ArtifactError {
  const entry = label === '' ? '' : `in its entry for ${label} `;
  return new ArtifactError(origin.code, `${origin.name} cannot be used: ${entry}${why}`);
}
