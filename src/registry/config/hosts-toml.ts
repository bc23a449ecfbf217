import { resolve } from 'node:path';
import type { Field, Table } from '../../configfile/field.ts';
import { parseToml } from '../../configfile/toml.ts';
import { ArtifactError, invalidValue } from '../../util/error.ts';

import { type HostTimes, hostTimeKeys, parseHostTimes } from './host-times.ts';
import { hasPlaceholder, parseAround } from './placeholders.ts';
import { listUnused } from './unused-keys.ts';

/**
 * A URL of hosts.toml: the root of the API. `root` has no slash at its end. That of a mirror may name labels of the node:
 * `${topology.kubernetes.io/zone}`.
 */
export type HostUrl = {
  readonly scheme: 'https' | 'http';
  readonly host: string;
  readonly root: string;
};

/** The settings of each host. Paths are absolute. `client` lists certificate and key, which may be one file. */
export type HostOptions = {
  readonly pulls: boolean;
  readonly resolves: boolean;
  readonly ca: readonly string[];
  readonly client: readonly (readonly [cert: string, key: string])[];
  readonly skipVerify: boolean;
  /** Names are in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly times: HostTimes;
};

/**
 * A parsed hosts.toml: its hosts in the order of the file, and its server last. Without an address, the server is the
 * registry itself.
 */
export type HostsFile = {
  readonly file: string;
  readonly hosts: readonly (HostOptions & { readonly address: HostUrl })[];
  readonly server: HostOptions & { readonly address?: HostUrl };
  readonly notes: readonly string[];
};

const capabilities = ['pull', 'resolve', 'push', 'referrers'];
const usedOfServer = [
  'capabilities',
  'ca',
  'client',
  'skip_verify',
  'override_path',
  'header',
  hostTimeKeys['hosts.toml'].connectMs,
  hostTimeKeys['hosts.toml'].responseMs,
];
const usedOfHost = [...usedOfServer, hostTimeKeys['hosts.toml'].waitMs];
/** These belong to a connection or a request, not to a configuration. */
const ours =
  /^(?:host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect|range|accept|accept-encoding|proxy-.*)$/;

/**
 * Parses containerd's hosts.toml in `directory`. Keys that this driver does not use are not an error but a note.
 *
 * @throws ArtifactError `invalid` naming file, line and key.
 */
export function parseHostsFile(text: string, file: string, directory: string): HostsFile {
  const top = parseToml(text, file);
  const server = top.text('server', 'be-empty') ?? '';
  const hosts = top.table('host');
  const tables = hosts?.keys.flatMap(key => hosts.table(key) ?? []) ?? [];
  const unused = new Set([
    ...listUnused(top, '', ['server', 'host', ...usedOfServer]),
    ...tables.flatMap(table => listUnused(table, 'host.', usedOfHost)),
  ]);
  return {
    file,
    hosts: tables.map((table, index) => ({
      ...toOptions(table, directory),
      address: toMirrorAddress(
        hosts?.keys[index] ?? '',
        table.flag('override_path'),
        `${hosts?.at(hosts.keys[index] ?? '')}`,
      ),
    })),
    server: {
      ...toOptions(top, directory),
      ...(server === '' ? {} : { address: toAddress(server, top.flag('override_path'), top.at('server')) }),
    },
    notes: unused.size === 0 ? [] : [`${file}: not used by this driver: ${[...unused].join(', ')}`],
  };
}

function toMirrorAddress(text: string, overridePath: boolean | undefined, at: string): HostUrl {
  return parseAround(text, at, (plain, restore) => {
    const { scheme, host, root } = toAddress(plain, overridePath, at);
    return { scheme, host: restore(host), root: restore(root) };
  });
}

function toAddress(text: string, overridePath: boolean | undefined, at: string): HostUrl {
  const url = URL.parse(text.includes('://') ? text : `https://${text}`);
  if (
    url === null ||
    !/^https?:$/.test(url.protocol) ||
    url.username !== '' ||
    url.password !== '' ||
    url.search !== '' ||
    url.hash !== '' ||
    hasPlaceholder(text)
  ) {
    throw new ArtifactError(
      'invalid',
      `${at} must be a URL: https://host[:port] or http://host[:port], and a path if need be`,
    );
  }
  const path = url.pathname.replace(/\/{2,}/g, '/').replace(/\/$/, '');
  return {
    scheme: url.protocol === 'http:' ? 'http' : 'https',
    host: url.host,
    root: overridePath === true || path.endsWith('/v2') ? path : `${path}/v2`,
  };
}

function toOptions(table: Table, directory: string): HostOptions {
  const said = table.texts('capabilities', 'be-empty') ?? [];
  const able = said.length === 0 ? capabilities : said.map(text => text.toLowerCase());
  const unknown = able.find(capability => !capabilities.includes(capability));
  if (unknown !== undefined) {
    throw invalidValue(
      'value',
      unknown,
      `must be one of ${capabilities.join(', ')}`,
      table.at('capabilities'),
    );
  }
  return {
    pulls: able.includes('pull'),
    resolves: able.includes('resolve'),
    ca: toTexts(table.get('ca'), 'a file, or a list of files').map(file => resolve(directory, file)),
    client: toPairs(table.get('client')).map(([cert, key]) => [
      resolve(directory, cert),
      resolve(directory, key === '' ? cert : key),
    ]),
    skipVerify: table.flag('skip_verify') ?? false,
    headers: toHeaders(table.table('header')),
    times: parseHostTimes(table, 'hosts.toml'),
  };
}

function toHeaders(table: Table | undefined): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const key of table?.keys ?? []) {
    const value = toTexts(table?.get(key), 'a text or a list of texts').join(', ');
    const name = key.toLowerCase();
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name) || ours.test(name) || !/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
      throw new ArtifactError('invalid', `${table?.at(key)} is no header that can be added`);
    }
    headers[name] = value;
  }
  return headers;
}

/** Accepts one value or a list. */
function toTexts(field: Field | undefined, what: string): readonly string[] {
  if (field?.kind === 'text') return [field.text('be-empty')];
  if (field === undefined) return [];
  return field.kind === 'list' ? field.texts('be-empty') : field.refuse(`must be ${what}`);
}

/** Certificates with their keys. An empty key means that the key is in the certificate's file. */
function toPairs(field: Field | undefined): readonly (readonly [cert: string, key: string])[] {
  const wanted = 'must be a file, a list of files, or a list of [certificate, key]';
  if (field?.kind === 'text') return [[field.text('be-empty'), '']];
  if (field === undefined) return [];
  if (field.kind !== 'list') return field.refuse(wanted);
  return field.list('be-empty').map(item => {
    if (item.kind === 'text') return [item.text('be-empty'), ''];
    const [cert, key, ...more] = item.kind === 'list' ? item.texts('be-empty') : [];
    return cert === undefined || key === undefined || more.length > 0 ? field.refuse(wanted) : [cert, key];
  });
}
