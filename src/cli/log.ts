import { type Logger, pino } from 'pino';
import { formatJson, printable } from '../util/printable.ts';
import type { Settings } from './settings.ts';
import { type Terminal, tell } from './shell.ts';

/** The log of a command without a daemon, on stderr: text or JSON lines. */
export function createLog(level: Settings['logLevel'], json: boolean, terminal: Terminal): Logger {
  const write = (line: string): void => {
    if (json) terminal.stderr.write(line);
    else tell(terminal, formatLine(JSON.parse(line) as Record<string, unknown>));
  };
  const formatters = { level: (label: string) => ({ level: label }) };
  return pino({ level, base: null, timestamp: false, formatters }, { write });
}

/** `warn: mirror skipped for a while {"host":"mirror.example"}`. */
function formatLine({ level, msg, ...fields }: Record<string, unknown>): string {
  const rest = Object.keys(fields).length === 0 ? '' : ` ${formatJson(fields)}`;
  return `${String(level)}: ${printable(String(msg))}${rest}`;
}
