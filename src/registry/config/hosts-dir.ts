import { join } from 'node:path';
import { lastGood, type Part, type Reading, readPart, valueOf } from '../../configfile/watched-file.ts';
import { withoutHttpsPort } from '../../oci/reference.ts';
import { ArtifactError } from '../../util/error.ts';
import {
  type Pair,
  plainTrust,
  type TlsTrust,
  toTrust,
  verifyCertificates,
  verifyPair,
} from '../http/tls.ts';
import { type HostOptions, type HostUrl, parseHostsFile } from './hosts-toml.ts';

/** One host of a registry, with the certificates that its file names. */
export type RegistryHost = Pick<HostOptions, 'pulls' | 'resolves' | 'headers' | 'times'> & {
  readonly address?: HostUrl;
  readonly trust: TlsTrust;
};

/**
 * The configuration of a registry in one directory. The server is last; without an address it is the registry itself.
 */
export type RegistryHosts = {
  readonly directory: string;
  /** The hosts.toml, which need not exist. */
  readonly file: string;
  readonly hosts: readonly RegistryHost[];
  /** Messages for the log. */
  readonly notes: readonly string[];
};

/** The directories of a hosts directory by registry (host[:port]). `_default` applies to registries without one. */
export type HostsDir = ReadonlyMap<string, Part<RegistryHosts>>;

const fallback = '_default';

/**
 * Reads a hosts directory of containerd: `<host>`, `<host>_<port>_` or `<host>:<port>` with a hosts.toml, or with
 * certificates alone. The second form wins over the third. A host without a port wins over the same host with port 443.
 *
 * @throws ArtifactError `invalid` if the directory does not exist.
 */
export function readHostsDir(
  directory: string | undefined,
  reading: Reading,
  before: Part<HostsDir> | undefined,
): HostsDir {
  const named = new Map<string, Part<RegistryHosts>>();
  if (directory === undefined) return named;
  const names = reading.names(directory);
  if (names === undefined) {
    throw new ArtifactError('invalid', `the directory ${directory} does not exist; correct --hosts-dir`);
  }
  const earlier = lastGood(before);
  const encoded = new Set<string>();
  for (const name of names) {
    const path = join(directory, name);
    if (!reading.isDirectory(path)) continue;
    const written = name.replace(/^(.+)_(\d{1,5})_$/, '$1:$2');
    if (written === name && encoded.has(written)) continue;
    if (written !== name) encoded.add(written);
    const registry = withoutHttpsPort(written);
    if (registry !== written && names.includes(registry)) continue;
    named.set(
      registry,
      readPart(() => readRegistryHosts(path, reading), earlier?.get(registry)),
    );
  }
  return named;
}

/** Returns the configuration of a registry. @throws ArtifactError `unavailable` if it is broken. */
export function findHosts(hosts: Part<HostsDir>, registry: string): RegistryHosts | undefined {
  const directories = valueOf(hosts);
  const part = directories.get(registry) ?? directories.get(fallback);
  return part === undefined ? undefined : valueOf(part);
}

/** @throws ArtifactError `invalid` naming file, line and key. */
function readRegistryHosts(directory: string, reading: Reading): RegistryHosts {
  const file = join(directory, 'hosts.toml');
  const text = reading.text(file) ?? '';
  if (text.trim() === '') {
    const trust = readCertificates(directory, reading);
    return {
      directory,
      file,
      hosts: [{ pulls: true, resolves: true, headers: {}, times: {}, trust }],
      notes: [],
    };
  }
  const parsed = parseHostsFile(text, file, directory);
  const toHost = (host: HostOptions & { readonly address?: HostUrl }): RegistryHost => {
    const { address, pulls, resolves, headers, times, skipVerify } = host;
    const trust = toTrust(
      host.ca.map(ca => readCa(ca, reading)),
      host.client.map(([cert, key]) => readPair(cert, key, reading)),
    );
    return {
      ...(address === undefined ? {} : { address }),
      pulls,
      resolves,
      headers,
      times,
      trust: { ...trust, insecure: skipVerify },
    };
  };
  return { directory, file, hosts: [...parsed.hosts, parsed.server].map(toHost), notes: parsed.notes };
}

/**
 * Reads the certificates in one directory, as in containers-certs.d(5): each `*.crt` is a CA to trust, and each
 * `*.cert` with the `*.key` of the same name is a client certificate.
 *
 * @throws ArtifactError `invalid` naming the file: not PEM, a certificate without its key, a key without its
 *   certificate, or two that do not match.
 */
function readCertificates(directory: string, reading: Reading): TlsTrust {
  const names = reading.names(directory) ?? [];
  const withEnd = (end: string) =>
    names.filter(name => name.endsWith(end)).map(name => join(directory, name));
  const half = withEnd('.key').find(key => !names.includes(`${key.slice(directory.length + 1, -4)}.cert`));
  if (half !== undefined) throw missing(half, `${half.slice(0, -4)}.cert`);
  return toTrust(
    withEnd('.crt').map(file => readCa(file, reading)),
    withEnd('.cert').map(file => readPair(file, `${file.slice(0, -5)}.key`, reading)),
  );
}

/** @throws ArtifactError `invalid` naming the file. */
function readCa(file: string, reading: Reading): string {
  const pem = readPem(file, file, reading);
  verifyCertificates(pem, file);
  return pem;
}

/** Certificate and key may be in one file. @throws ArtifactError `invalid` naming the files. */
function readPair(certFile: string, keyFile: string, reading: Reading): Pair {
  const cert = readPem(certFile, keyFile, reading);
  const key = certFile === keyFile ? cert : readPem(keyFile, certFile, reading);
  verifyPair({ cert, key }, certFile, keyFile);
  return { cert, key };
}

/** The directories of a certs.d by host[:port]. */
export type HostCertificates = ReadonlyMap<string, Part<TlsTrust>>;

/** Reads a certs.d directory. @throws ArtifactError `invalid` if it does not exist. */
export function readHostCertificates(
  directory: string | undefined,
  reading: Reading,
  before: Part<HostCertificates> | undefined,
): HostCertificates {
  const byHost = new Map<string, Part<TlsTrust>>();
  if (directory === undefined) return byHost;
  const names = reading.names(directory);
  if (names === undefined) {
    throw new ArtifactError('invalid', `the directory ${directory} does not exist; correct --certs-dir`);
  }
  const earlier = lastGood(before);
  for (const name of names) {
    const path = join(directory, name);
    if (!reading.isDirectory(path)) continue;
    byHost.set(
      name,
      readPart(() => readCertificates(path, reading), earlier?.get(name)),
    );
  }
  return byHost;
}

/**
 * Returns the certificates for a host. The https port may be written or omitted. Those of docker.io use that name.
 *
 * @throws ArtifactError `unavailable` if they are broken.
 */
export function findCertificates(certificates: Part<HostCertificates>, host: string): TlsTrust {
  const byHost = valueOf(certificates);
  const written = host === 'registry-1.docker.io' ? 'docker.io' : host;
  const part = byHost.get(written) ?? byHost.get(`${written}:443`);
  return part === undefined ? plainTrust : valueOf(part);
}

/** Reads the CAs to trust for every server. @throws ArtifactError `invalid` naming the file. */
export function readCaFile(file: string | undefined, reading: Reading): TlsTrust {
  if (file === undefined) return plainTrust;
  const pem = reading.text(file);
  if (pem === undefined) {
    throw new ArtifactError('invalid', `the CA file ${file} does not exist; correct --ca-file`);
  }
  verifyCertificates(pem, file);
  return toTrust([pem], []);
}

function readPem(file: string, other: string, reading: Reading): string {
  const text = reading.text(file);
  if (text === undefined) throw missing(other, file);
  return text;
}

function missing(file: string, absent: string): ArtifactError {
  return new ArtifactError(
    'invalid',
    file === absent
      ? `the certificate file ${file} does not exist`
      : `${absent} does not exist, and ${file} is of no use without it`,
  );
}
