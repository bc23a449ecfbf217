import { ArtifactError, errnoOf } from '../util/error.ts';
import { exitCodes } from './exit.ts';
import { programName, type Terminal } from './shell.ts';

/** This process as a Terminal. */
export function openTerminal(): Terminal {
  process.stdout.on('error', error => {
    // `ls | head -1` closes the pipe early, and nobody reads an error.
    if (errnoOf(error) === 'EPIPE') process.exit(0);
    process.stderr.write(`${programName}: writing the result: ${error.message}\n`);
    process.exit(exitCodes.internal);
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
        process[again === 'end' ? 'once' : 'on'](signal, () => controller.abort(interruption()));
      }
      return controller.signal;
    },
  };
}

/** The error of a command that a signal ended. */
export function interruption(): ArtifactError {
  return new ArtifactError('cancelled', 'interrupted');
}
