import { errnoOf } from '../util/error.ts';
import type { Terminal } from './shell.ts';

/** This process as a command sees it. */
export function openTerminal(): Terminal {
  // `ls | head -1` closes the pipe early: nobody is left to read an error.
  process.stdout.on('error', error => {
    if (errnoOf(error) !== 'EPIPE') throw error;
    process.exit(0);
  });
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    environment: process.env,
    now: Date.now,
    interrupted(again) {
      const controller = new AbortController();
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
        process[again === 'end' ? 'once' : 'on'](signal, () => controller.abort());
      }
      return controller.signal;
    },
  };
}
