import { type Logger, pino } from 'pino';
import { formatEntry, formatters } from './log-line.ts';
import type { Settings } from './settings.ts';
import { type Terminal, tell } from './shell.ts';

/**
 * The log of a command without a daemon, on stderr: text or JSON lines. It has no errors: what is wrong with a file is in
 * the error of a command that needs the file, and in `status`.
 */
export function createLog(level: Settings['logLevel'], json: boolean, terminal: Terminal): Logger {
  const write = (line: string): void => {
    const { level: said, ...entry } = JSON.parse(line) as Record<string, unknown>;
    if (said === 'error') return;
    if (json) terminal.stderr.write(line);
    else tell(terminal, `${String(said)}: ${formatEntry(entry)}`);
  };
  return pino({ level, base: null, timestamp: false, formatters }, { write });
}
