import { lastGood, valueOf } from '../../configfile/watched-file.ts';
import type { Endpoint } from '../../oci/endpoint.ts';
import { formatRepository, type Reference, type Repository } from '../../oci/reference.ts';
import type { Labels } from '../../ports/kube.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import type { HostOrigin } from '../http/host-origin.ts';
import { usualConnectMs } from '../http/request.ts';
import { blindTrust, joinTrust, plainTrust, type TlsTrust } from '../http/tls.ts';
import type { Configuration } from './configuration.ts';
import type { HostTimes } from './host-times.ts';
import {
  findCertificates,
  findHosts,
  type HostsDir,
  type RegistryHost,
  type RegistryHosts,
} from './hosts-dir.ts';
import type { HostUrl } from './hosts-toml.ts';
import { isLabelled, placeLocation, placeUrl } from './placement.ts';
import { blockedError, findRule, relocate } from './registries.ts';
import type { RegistryRule } from './registry-rule.ts';

/**
 * One endpoint for a repository. `scheme` is the only scheme to use; without it, https, and also http if the endpoint
 * is insecure. `root` precedes the repository in URL paths. `headers`, with names in lower case, go to this endpoint
 * alone and may be secret. `connectMs` is the time limit for a connection, `responseMs` for the first byte of an answer
 * (absent: as long as a server may send nothing), `waitMs` for which the registry is not asked for what this mirror may
 * still get. `origin` is how the node came to the host. `namespace` is the registry
 * that is meant, if the registry itself is at a host of another name.
 */
export type Upstream = Endpoint & {
  readonly scheme?: 'https' | 'http';
  readonly root: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly trust: TlsTrust;
  readonly connectMs: number;
  readonly responseMs?: number;
  readonly waitMs?: number;
  readonly origin: HostOrigin;
  readonly namespace?: string;
};

/** The upstreams to ask: mirrors in order, and the registry itself always last. */
export type Route = { readonly mirrors: readonly Upstream[]; readonly last: Upstream };

/**
 * Removes the mirrors: their content does not show what the registry allows. A hosts.toml may list the registry itself
 * among its hosts, with certificates that its server entry lacks.
 */
export function atRegistry({ mirrors, last }: Route): Route {
  return { mirrors: mirrors.filter(({ mirrorOf }) => mirrorOf === undefined), last };
}

/** A name is resolved to a digest; content is read by digest. */
export type RoutePurpose = 'name' | 'content';

/**
 * Returns the upstreams of a repository: mirrors, then the registry. For docker.io the registry is
 * registry-1.docker.io.
 *
 * registries.conf wins over hosts.toml, and in it the rule with the longest matching prefix decides alone. Its mirrors
 * serve by what the user wrote, tag or digest: the content that a tag was resolved to comes from the mirrors for tags.
 * The hosts of hosts.toml serve by capability: `resolve` for names and access checks; `pull` for bytes. To use a peer
 * that serves any caller safely, give it `pull` alone.
 *
 * A mirror whose address names labels that the node has not is skipped.
 *
 * @throws ArtifactError `denied` for a blocked repository, for a location that does not form a valid repository, and if
 *   no host has the capability; `unavailable` if the configuration is broken.
 */
export function toRoute(
  configuration: Configuration,
  reference: Reference,
  question: RoutePurpose,
  labels: Labels = {},
): Route {
  const { registries, hosts, certificates } = configuration;
  const rule = findRule(valueOf(registries), formatRepository(reference));
  if (rule?.blocked === true) throw blockedError(formatRepository(reference), rule);
  const hosted = rule === undefined ? findHosts(hosts, reference.registry) : undefined;
  const upstreams =
    hosted === undefined ? byRule(rule, reference, labels) : byHosts(hosted, reference, question, labels);
  const trusted = upstreams.map(upstream => ({
    ...upstream,
    trust: joinTrust(upstream.trust, findCertificates(certificates, upstream.host)),
  }));
  const last = trusted.at(-1);
  if (last !== undefined) return { mirrors: trusted.slice(0, -1), last };
  const capability = question === 'name' ? 'resolve' : 'pull';
  throw new ArtifactError(
    'denied',
    `no host may ${capability} ${formatRepository(reference)}: ${hosted?.file} has only hosts without "${capability}"; add it to the capabilities of one, or a server line`,
  );
}

function byRule(rule: RegistryRule | undefined, reference: Reference, labels: Labels): readonly Upstream[] {
  type Host = { readonly location?: string; readonly insecure: boolean; readonly times: HostTimes };
  const at = ({ location, insecure, times }: Host): Upstream => {
    const there =
      rule === undefined || location === undefined || location === rule.prefix
        ? reference
        : relocate(formatRepository(reference), rule, location);
    const endpoint = { host: apiHost(there.registry), path: there.path, insecure };
    const upstream = { ...toUpstream(endpoint), ...times };
    return rule === undefined
      ? upstream
      : { ...upstream, origin: { kind: 'registries.conf', file: rule.file } };
  };
  const last = at(rule ?? { insecure: false, times: {} });
  const byDigest = reference.digest !== undefined || reference.tag === undefined;
  const mirrors = rule?.mirrors.filter(
    ({ serves }) => serves === 'all' || (serves === 'digest-only') === byDigest,
  );
  return [
    ...(mirrors ?? []).flatMap(mirror => {
      const { location } = mirror;
      const there = isLabelled(location)
        ? placed(() => at({ ...mirror, location: placeLocation(location, labels) }))
        : at(mirror);
      return there === undefined ? [] : mirrored(there, last.host, reference);
    }),
    last,
  ];
}

/** Undefined if labels that the node has not, or has otherwise, make it no address. */
function placed<T>(place: () => T): T | undefined {
  try {
    return place();
  } catch (thrown) {
    if (toArtifactError(thrown).code === 'denied') return undefined;
    throw thrown;
  }
}

function byHosts(
  hosted: RegistryHosts,
  reference: Reference,
  question: RoutePurpose,
  labels: Labels,
): readonly Upstream[] {
  const { registry } = reference;
  const home = apiHost(registry);
  const server = hosted.hosts.at(-1); // is the registry itself, at any address
  return hosted.hosts
    .filter(host => (question === 'name' ? host.resolves : host.pulls))
    .flatMap(host => {
      const { address } = host;
      const url = address && isLabelled(address) ? placed(() => placeUrl(address, labels)) : address;
      if (url === undefined && address !== undefined) return [];
      const upstream: Upstream = {
        ...toHostUpstream(host, url, reference, home),
        origin: { kind: 'hosts.toml', file: hosted.file },
      };
      if (host !== server) return mirrored(upstream, home, reference);
      return upstream.host === home ? upstream : { ...upstream, namespace: registry };
    });
}

/** A path below `/v2` is the start of the repository's name there, for credentials and tokens too. */
function toHostUpstream(
  { headers, trust, times }: RegistryHost,
  address: HostUrl | undefined,
  { path }: Repository,
  home: string,
): Omit<Upstream, 'origin'> {
  const { scheme, host, root } = address ?? { scheme: 'https', host: home, root: '/v2' };
  const namespace = root.startsWith('/v2/') ? `${root.slice('/v2/'.length)}/` : '';
  return {
    scheme,
    host,
    root: namespace === '' ? root : '/v2',
    path: `${namespace}${path}`,
    insecure: trust.insecure || scheme === 'http',
    headers,
    trust,
    connectMs: usualConnectMs,
    ...times,
  };
}

function mirrored(upstream: Upstream, home: string, { registry }: Repository): Upstream {
  return upstream.host === home ? upstream : { ...upstream, mirrorOf: registry };
}

/** Whether the configuration names a host[:port] as a registry or mirror. */
export function isNamed({ registries, hosts }: Configuration, host: string, labels: Labels = {}): boolean {
  const rules = lastGood(registries)?.rules ?? [];
  const directories: HostsDir = lastGood(hosts) ?? new Map();
  const locations = rules.flatMap(rule => [rule.location, ...rule.mirrors.map(mirror => mirror.location)]);
  const listed = [...directories.values()].flatMap(part =>
    (lastGood(part)?.hosts ?? []).map(({ address }) =>
      address && isLabelled(address) ? placed(() => placeUrl(address, labels))?.host : address?.host,
    ),
  );
  return (
    directories.has(host) ||
    listed.includes(host) ||
    locations.some(location => {
      const at = location && isLabelled(location) ? placed(() => placeLocation(location, labels)) : location;
      return at?.split('/', 1)[0] === host;
    })
  );
}

/** Returns the API host of a registry. */
export function apiHost(registry: string): string {
  return registry === 'docker.io' ? 'registry-1.docker.io' : registry;
}

/** Returns an endpoint as in the OCI distribution spec, without configuration. */
export function toUpstream(endpoint: Endpoint): Upstream {
  return {
    ...endpoint,
    root: '/v2',
    headers: {},
    trust: endpoint.insecure ? blindTrust : plainTrust,
    connectMs: usualConnectMs,
    origin: { kind: 'reference' },
  };
}
