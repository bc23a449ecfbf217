import { ArtifactError, invalidValue } from '../util/error.ts';
import { quoteName } from '../util/name.ts';
import { type Digest, isDigest } from './digest.ts';

/** A repository of a registry: `registry` is host[:port] as users write it (`docker.io`), `path` the name below it. */
export type Repository = { readonly registry: string; readonly path: string };

/** A full reference. Without a tag and a digest, parsing set `latest`; with both, the digest decides. */
export type Reference = Repository & { readonly tag?: string; readonly digest?: Digest };

/** The parsed input of a user: a full reference, or a short name that the node's configuration completes. */
export type ParsedReference =
  | { readonly kind: 'full'; readonly reference: Reference }
  | { readonly kind: 'short'; readonly name: string; readonly tag?: string; readonly digest?: Digest };

const component = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;
const registryShape =
  /^(\[[0-9a-f:]+\]|[a-z0-9]+(?:-+[a-z0-9]+)*(?:\.[a-z0-9]+(?:-+[a-z0-9]+)*)*)((?::[1-9][0-9]{0,4})?)$/;
const tagShape = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const userInfo = /^(?:[a-z][a-z0-9+.-]*:\/\/)?[^/@]*:[^/@]*@(?!sha(?:256|512):)/i;
const longestName = 255;
const longestText = longestName + 1 + 128 + 1 + 135;

/**
 * Parses a reference, and completes it as far as no configuration is needed. All rules of defaulting:
 *
 * - `[registry/]path[:tag][@digest]`. The first component is a registry if it has a dot or a colon or is `localhost`;
 *   else the whole is a short name.
 * - No tag and no digest: `latest`. A tag beside a digest is kept for formatting; the digest decides.
 * - `index.docker.io` is `docker.io`, and `docker.io/x` is `docker.io/library/x`.
 * - The https port is removed: `host.example:443/x` is `host.example/x`, so that one registry has one name for
 *   policies, credentials and certificates.
 *
 * Bounds: registry and path together 255 characters, a tag 128, digests sha256 and sha512. The registry is a lower-case
 * host name, IPv4 address or bracketed IPv6 address in the form of a URL, and a port without leading zeros, so that one
 * registry has one spelling. (OCI distribution spec, "Pulling manifests"; the grammar of names is distribution's.)
 *
 * @throws ArtifactError `invalid` with what to write instead, quoting at most 160 characters of the text.
 */
export function parseReference(text: string): ParsedReference {
  const { name, tag, digest } = split(text);
  const version = {
    ...(tag === undefined && digest === undefined ? { tag: 'latest' } : {}),
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
  const repository = toRepository(name, text);
  if (repository !== undefined) return { kind: 'full', reference: { ...repository, ...version } };
  if (/^[0-9a-f]{64}$/.test(name)) throw bareDigest(text);
  return { kind: 'short', name, ...version };
}

/**
 * Parses a full repository without tag and digest, by the rules of parseReference.
 *
 * @throws ArtifactError `invalid`, also for a short name.
 */
export function parseRepository(text: string): Repository {
  const { name } = split(text);
  if (name !== text)
    throw refusal(text, 'only registry/repository may stand here, with no tag and no digest');
  const repository = toRepository(name, text);
  if (repository !== undefined) return repository;
  throw refusal(text, 'a registry must come first, with a dot or a port in it: registry/repository');
}

/** Formats the canonical text: `registry/path[:tag][@digest]`. parseReference returns the same reference. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`;
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`;
  return `${formatRepository(reference)}${tag}${digest}`;
}

/** `registry/path`. */
export function formatRepository(repository: Repository): string {
  return `${repository.registry}/${repository.path}`;
}

type Parts = { readonly name: string; readonly tag?: string; readonly digest?: Digest };

/** Splits tag and digest off, verifies each, and names frequent mistakes. */
function split(text: string): Parts {
  if (text === '')
    throw new ArtifactError('invalid', 'the reference is empty; write registry/repository:tag');
  if (userInfo.test(text.slice(0, longestText))) {
    throw new ArtifactError(
      'invalid',
      'the reference begins with a user name and password; write it without, and give them as a pull secret, or to a command as --username and --password-stdin',
    );
  }
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(text)?.[0];
  if (scheme !== undefined) {
    throw refusal(text, `it begins with ${quoteName(scheme)}; write ${quoteName(text.slice(scheme.length))}`);
  }
  if (text.length > longestText)
    throw refusal(text, `it has ${text.length} characters, more than ${longestText}`);
  if (isDigest(text)) throw bareDigest(text);
  const at = text.indexOf('@');
  const named = at === -1 ? text : text.slice(0, at);
  const digest = at === -1 ? undefined : text.slice(at + 1);
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  const tag = colon === -1 ? undefined : named.slice(colon + 1);
  if (tag !== undefined && !tagShape.test(tag)) {
    throw refusal(text, `the tag ${quoteName(tag)} must be 1 to 128 letters, digits, "_", "." or "-"`);
  }
  if (digest !== undefined && !isDigest(digest)) {
    throw refusal(text, 'after "@" goes sha256:<64 hex> or sha512:<128 hex>, in lower case');
  }
  return {
    name: colon === -1 ? named : named.slice(0, colon),
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** Returns the repository of a name, verified and in its canonical spelling; undefined for a short name. */
function toRepository(name: string, text: string): Repository | undefined {
  if (/[A-Z]/.test(name)) {
    const lower = name.toLowerCase() + text.slice(name.length);
    throw refusal(text, `only a tag may have upper-case letters; write ${quoteName(lower)}`);
  }
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const full = /[.:]/.test(first) || first === 'localhost';
  const path = full ? name.slice(slash + 1) : name;
  for (const part of path.split('/')) {
    if (component.test(part)) continue;
    throw refusal(
      text,
      part === ''
        ? 'its path has an empty part'
        : `the part ${quoteName(part)} of its path must be lower-case letters and digits, joined by ".", "_", "__" or dashes`,
    );
  }
  const repository = full ? canonical(withoutHttpsPort(toRegistry(first, text)), path) : undefined;
  const length = repository === undefined ? name.length : formatRepository(repository).length;
  if (length <= longestName) return repository;
  throw refusal(text, `registry and path have ${length} characters, more than ${longestName}`);
}

/** Removes the https port of a name or a prefix of names; a name that needs its port to be full keeps it. */
export function withoutHttpsPort(name: string): string {
  const [registry = '', ...path] = name.split('/');
  const host = registry.replace(/:443$/, '');
  return /[.:]/.test(host) || host === 'localhost' ? [host, ...path].join('/') : name;
}

function canonical(registry: string, path: string): Repository {
  if (registry !== 'docker.io' && registry !== 'index.docker.io') return { registry, path };
  return { registry: 'docker.io', path: path.includes('/') ? path : `library/${path}` };
}

/** The host in a URL must equal the written one, else `127.1` and `127.0.0.1` would be two registries. */
function toRegistry(registry: string, text: string): string {
  const [, host, port] = registryShape.exec(registry) ?? [];
  const hostname = host === undefined ? undefined : URL.parse(`http://${registry}`)?.hostname;
  if (hostname === undefined)
    throw refusal(text, `${quoteName(registry)} is not a registry: must be host or host:port`);
  if (host === hostname) return registry;
  throw refusal(
    text,
    `the registry ${quoteName(registry)} has another spelling; write ${quoteName(`${hostname}${port}`)}`,
  );
}

function bareDigest(text: string): ArtifactError {
  return refusal(text, 'a digest alone names no repository; write registry/repository@sha256:…');
}

function refusal(text: string, why: string): ArtifactError {
  return invalidValue('reference', text, why);
}
