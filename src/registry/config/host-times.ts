import type { Table } from '../../configfile/field.ts';
import { parseGoDuration } from '../../util/go-duration.ts';

/** What a file says of the time that a host may take, in milliseconds. Absent: as for every host. */
export type HostTimes = {
  /** For a connection, including TLS. */
  readonly connectMs?: number;
  /** Until the first byte of an answer. */
  readonly responseMs?: number;
  /** For how long the registry is not asked for a blob that this mirror did not send. */
  readonly waitMs?: number;
};

/** The names of the keys in hosts.toml and in registries.conf, and what they mean. */
export const hostTimeKeys = {
  'hosts.toml': { connectMs: 'dial_timeout', responseMs: 'response_timeout', waitMs: 'wait' },
  'registries.conf': { connectMs: 'dial-timeout', responseMs: 'response-timeout', waitMs: 'wait' },
} as const;

/** @throws ArtifactError `invalid` naming file, line and key. */
export function parseHostTimes(table: Table, file: keyof typeof hostTimeKeys): HostTimes {
  const times: { -readonly [Time in keyof HostTimes]: HostTimes[Time] } = {};
  for (const [time, key] of Object.entries(hostTimeKeys[file]) as [keyof HostTimes, string][]) {
    const ms = parseDuration(table, key);
    if (ms !== undefined) times[time] = ms;
  }
  return times;
}

const longestMs = 24 * 3_600_000;

/** Zero counts as absent: in Go it means no limit, and every wait here has one. */
function parseDuration(table: Table, key: string): number | undefined {
  const ms = parseGoDuration(table.text(key, 'be-empty') || '0');
  if (ms !== undefined && ms >= 0 && ms <= longestMs) return Math.ceil(ms) || undefined;
  return table.invalid(key, 'must be a duration of at most 24h, such as "3s" or "1m30s"');
}
