import { join } from 'node:path';
import { lastGood, type Part, readPart, valueOf } from '../../configfile/part.ts';
import type { Reading } from '../../configfile/watched-file.ts';
import { withoutHttpsPort } from '../../oci/reference.ts';
import { ArtifactError } from '../../util/error.ts';
import { usualConnectMs } from '../http/request.ts';
import { type TlsTrust, toTrust } from '../http/tls.ts';
import { readCa, readCertificates, readPair } from './certificates.ts';
import { type HostOptions, type HostUrl, parseHostsFile } from './hosts-toml.ts';

/** One host of a registry, with the certificates that its file names. */
export type RegistryHost = Pick<HostOptions, 'pulls' | 'resolves' | 'headers' | 'connectMs'> & {
  readonly address?: HostUrl;
  readonly trust: TlsTrust;
};

/**
 * The configuration of a registry in one directory. The server is last; without an address it is the registry itself.
 */
export type RegistryHosts = {
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
      file: directory,
      hosts: [{ pulls: true, resolves: true, headers: {}, connectMs: usualConnectMs, trust }],
      notes: [],
    };
  }
  const parsed = parseHostsFile(text, file, directory);
  const toHost = (host: HostOptions & { readonly address?: HostUrl }): RegistryHost => {
    const { address, pulls, resolves, headers, connectMs, skipVerify } = host;
    const trust = toTrust(
      host.ca.map(ca => readCa(ca, reading)),
      host.client.map(([cert, key]) => readPair(cert, key, reading)),
    );
    return {
      ...(address === undefined ? {} : { address }),
      pulls,
      resolves,
      headers,
      connectMs,
      trust: { ...trust, insecure: skipVerify },
    };
  };
  return { file, hosts: [...parsed.hosts, parsed.server].map(toHost), notes: parsed.notes };
}
