import { join } from 'node:path';
import { formatVariable } from './command-line.ts';
import { answers } from './listener.ts';
import type { Settings } from './settings.ts';
import type { Options, Terminal } from './shell.ts';

/**
 * Where a daemon may listen: the flag or variable if given; else the path of the socket on the host, and its path in
 * the daemon's container.
 */
export function toEndpoints(
  settings: Settings,
  options: Options,
  terminal: Pick<Terminal, 'environment'>,
): readonly string[] {
  const { endpoint, kubeletDir, driverName } = settings;
  return isNamed(options, terminal)
    ? [endpoint]
    : [join(kubeletDir, 'plugins', driverName, 'csi.sock'), endpoint];
}

/** Whether the user names the endpoint. */
export function isNamed(options: Options, terminal: Pick<Terminal, 'environment'>): boolean {
  return options['endpoint'] !== undefined || terminal.environment[formatVariable('endpoint')] !== undefined;
}

/** The first of these sockets on which a daemon answers. @throws as `answers`. */
export async function findSocket(endpoints: readonly string[]): Promise<string | undefined> {
  for (const endpoint of endpoints) if (await answers(endpoint)) return endpoint;
  return undefined;
}

export function formatEndpoints(endpoints: readonly string[]): string {
  return endpoints.map(endpoint => `unix://${endpoint}`).join(' or ');
}
