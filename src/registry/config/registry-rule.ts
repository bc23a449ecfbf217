import type { Table } from '../../configfile/field.ts';
import { parseReference, type Reference, withoutHttpsPort } from '../../oci/reference.ts';
import { ArtifactError, invalidValue } from '../../util/error.ts';
import { findNear } from '../../util/near.ts';

import { type HostTimes, hostTimeKeys, parseHostTimes } from './host-times.ts';
import { parseAround } from './placeholders.ts';
import { listUnused } from './unused-keys.ts';

/**
 * A `[[registry]]` table of registries.conf. `prefix` matches the start of full references: `host[:port]`, a namespace,
 * a repository, one tag or digest of it, or `*.domain`. `location` replaces the prefix; it is absent for a wildcard
 * without one. `mirrors` are asked first, in this order.
 */
export type RegistryRule = {
  readonly prefix: string;
  readonly location?: string;
  readonly insecure: boolean;
  readonly blocked: boolean;
  readonly times: HostTimes;
  readonly mirrors: readonly Mirror[];
  readonly file: string;
};

/**
 * A `[[registry.mirror]]`: `location` replaces the prefix, for the references that the mirror `serves`. It may name
 * labels of the node: `${topology.kubernetes.io/zone}`.
 */
export type Mirror = {
  readonly location: string;
  readonly insecure: boolean;
  readonly serves: Serves;
  readonly times: HostTimes;
};

/** References with a digest, those without one, or all. */
export type Serves = 'all' | 'digest-only' | 'tag-only';

const serves: readonly string[] = ['all', 'digest-only', 'tag-only'] satisfies Serves[];
const { connectMs, responseMs, waitMs } = hostTimeKeys['registries.conf'];
const used = [
  'prefix',
  'location',
  'insecure',
  'blocked',
  'mirror',
  'mirror-by-digest-only',
  connectMs,
  responseMs,
];
const usedOfMirror = ['location', 'insecure', 'pull-from-mirror', connectMs, responseMs, waitMs];

/** @throws ArtifactError `invalid` naming file, line and key, also where containers refuses the file. */
export function parseRule(table: Table, file: string): RegistryRule {
  const location = toLocation(table, 'location');
  const prefix = toLocation(table, 'prefix') ?? location;
  if (prefix === undefined) {
    throw new ArtifactError(
      'invalid',
      `${table.at('prefix')} is missing, and so is location; write one of them${suggestKey(table)}`,
    );
  }
  if (location === undefined && !prefix.startsWith('*.')) {
    throw new ArtifactError(
      'invalid',
      `${table.at('prefix')}: location is missing; write it too, with the same text if that is where the registry is`,
    );
  }
  if (prefix.startsWith('*.') && /[/@:]/.test(prefix)) {
    throw invalidValue('prefix', prefix, 'must be *.domain, with no port and no path', table.at('prefix'));
  }
  if (table.keys.includes('pull-from-mirror')) {
    throw new ArtifactError('invalid', `${table.at('pull-from-mirror')} belongs into a [[registry.mirror]]`);
  }
  const byDigestOnly = table.flag('mirror-by-digest-only') ?? false;
  return {
    prefix,
    ...(location === undefined ? {} : { location }),
    insecure: table.flag('insecure') ?? false,
    blocked: table.flag('blocked') ?? false,
    times: parseHostTimes(table, 'registries.conf'),
    mirrors: (table.tables('mirror', 'be-empty') ?? []).map(mirror => toMirror(mirror, byDigestOnly)),
    file,
  };
}

/** Returns a key of the table of which one of these may be a typing error. */
function suggestKey(table: Table): string {
  const [mistyped] = table.keys.filter(key => findNear(key, ['prefix', 'location']) !== undefined);
  return mistyped === undefined
    ? ''
    : `; is ${mistyped} meant to be ${findNear(mistyped, ['prefix', 'location'])}?`;
}

/** Returns the keys that this driver does not use, as `registry.surprise`. */
export function unusedKeys(table: Table): readonly string[] {
  return [
    ...listUnused(table, 'registry.', used),
    ...(table.tables('mirror', 'be-empty') ?? []).flatMap(mirror =>
      listUnused(mirror, 'registry.mirror.', usedOfMirror),
    ),
  ];
}

/** Returns a reference that the prefix matches; undefined if it can match none. */
export function beginning(prefix: string): Reference | undefined {
  const example = prefix.startsWith('*.') ? `x${prefix.slice(1)}` : prefix;
  try {
    const parsed = parseReference(example.includes('/') ? example : `${example}/x`);
    return parsed.kind === 'full' ? parsed.reference : undefined;
  } catch {
    return undefined;
  }
}

function toMirror(table: Table, byDigestOnly: boolean): Mirror {
  const written = table.text('location', 'be-empty') ?? '';
  const location = parseAround(written, table.at('location'), (plain, restore) => {
    const parsed = parseLocation(plain, table.at('location'));
    if (parsed !== undefined && !parsed.includes('*') && beginning(parsed) !== undefined)
      return restore(parsed);
    return table.invalid(
      'location',
      'must be host[:port] of the mirror, with a dot or a port, and a path if need be',
    );
  });
  return {
    location,
    insecure: table.flag('insecure') ?? false,
    serves: toServes(table, byDigestOnly),
    times: parseHostTimes(table, 'registries.conf'),
  };
}

function toServes(table: Table, byDigestOnly: boolean): Serves {
  const key = 'pull-from-mirror';
  const text = table.text(key, 'be-empty') ?? '';
  if (text === '') return byDigestOnly ? 'digest-only' : 'all';
  if (!isServes(text)) {
    return table.invalid(key, `must be one of ${serves.join(', ')}`);
  }
  if (!byDigestOnly) return text;
  throw new ArtifactError(
    'invalid',
    `${table.at(key)} and mirror-by-digest-only = true of its registry exclude each other; leave one of them out`,
  );
}

function isServes(text: string): text is Serves {
  return serves.includes(text);
}

function toLocation(table: Table, key: string): string | undefined {
  return parseLocation(table.text(key, 'be-empty') ?? '', table.at(key));
}

function parseLocation(text: string, at: string): string | undefined {
  const location = text.replace(/\/+$/, '');
  if (location === '') return undefined;
  if (!location.includes('://')) return withoutHttpsPort(location);
  throw new ArtifactError('invalid', `${at}: leave out ${location.slice(0, location.indexOf('://') + 3)}`);
}
