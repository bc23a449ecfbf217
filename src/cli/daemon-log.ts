import { type Logger, pino } from 'pino';
import { openLineWriter } from '../linux/line-writer.ts';
import { formatLogLine, formatters } from './log-line.ts';
import type { Settings } from './settings.ts';

/** How long the exit waits for a reader of the log. */
const flushWithinMs = 1_000;

/** A log that never blocks. Unread lines are kept up to a bound, then dropped and counted. */
export function createDaemonLog(settings: Settings): { readonly log: Logger; dropped(): number } {
  const { logLevel: level, logFormat } = settings;
  const format = logFormat === 'text' ? formatLogLine : String;
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters };
  const output = openLineWriter(1, dropped =>
    log.warn({ dropped }, 'log lines were dropped here because nothing read them'),
  );
  const log = pino(options, { write: line => output.write(format(line)) });
  // On every exit, so that the reason of the exit is written.
  process.on('exit', () => output.flush(flushWithinMs));
  return { log, dropped: output.dropped };
}
