import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { dfdaemonVariable, schedulerVariable } from './dfdaemon.ts';

/** `npm run test:dragonfly -- DFDAEMON [SCHEDULER]`: the tests of Dragonfly, with the real one. */

const usage = `usage: npm run test:dragonfly -- DFDAEMON [SCHEDULER]

DFDAEMON   the program dfdaemon of Dragonfly's client, 1.5 or later
SCHEDULER  host:port of a scheduler that runs, on this machine or one that reaches its loopback addresses;
           without it, the test of two nodes that share a download is skipped`;
const [dfdaemon, scheduler, ...more] = process.argv.slice(2);
if (dfdaemon === undefined || dfdaemon.startsWith('-') || more.length > 0) {
  const isHelp = dfdaemon === '--help' || dfdaemon === '-h';
  console[isHelp ? 'log' : 'error'](usage);
  process.exit(isHelp ? 0 : 2);
}
const run = fileURLToPath(new URL('../run.ts', import.meta.url));
const env = {
  ...process.env,
  [dfdaemonVariable]: resolve(dfdaemon),
  ...(scheduler !== undefined && { [schedulerVariable]: scheduler }),
};
const files = ['dragonfly', 'handover', 'link'].map(name => `test/dragonfly/${name}.test.ts`);
const args = [run, ...files, '--verbose'];
process.exitCode = spawnSync(process.execPath, args, { stdio: 'inherit', env }).status ?? 1;
