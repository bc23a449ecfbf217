import { join } from 'node:path';
import { formatVariable } from './command-line.ts';
import type { Settings } from './settings.ts';
import type { Options, Terminal } from './shell.ts';

/**
 * Where a daemon may listen: what was named, by flag or variable; else where the host has the socket, and where the
 * daemon's own container has it.
 */
export function toEndpoints(
  settings: Settings,
  options: Options,
  terminal: Pick<Terminal, 'environment'>,
): readonly string[] {
  const { endpoint, kubeletDir, driverName } = settings;
  const isNamed =
    options['endpoint'] !== undefined || terminal.environment[formatVariable('endpoint')] !== undefined;
  return isNamed ? [endpoint] : [join(kubeletDir, 'plugins', driverName, 'csi.sock'), endpoint];
}
