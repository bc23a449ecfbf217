import { writeSync } from 'node:fs';
import process from 'node:process';
import { isMainThread } from 'node:worker_threads';

/**
 * With this file in `node --import`, the process of a file of tests ends when it takes too long, so that a run that
 * nobody watches goes on and names the file. A test that fails may leave a timer or a socket that keeps the process.
 */
export const limitVariable = 'OCI_ARTIFACT_TEST_MINUTES';

const minutes = Number(process.env[limitVariable]);
if (isMainThread && minutes > 0) {
  setTimeout(() => {
    const kept = process.getActiveResourcesInfo().join(', ');
    writeSync(2, `the tests took more than ${minutes} minutes; what keeps the process: ${kept}\n`);
    process.exit(1);
  }, minutes * 60_000).unref();
}
