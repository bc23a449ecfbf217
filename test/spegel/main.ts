import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { spegelVariable } from './spegel.ts';

/** `npm run test:spegel -- SPEGEL`: the tests of nodes that share what they have, with the real mirror on each. */

const usage = `usage: npm run test:spegel -- SPEGEL

SPEGEL  the program of Spegel, 0.7 or later`;
const [spegel, ...more] = process.argv.slice(2);
if (spegel === undefined || spegel.startsWith('-') || more.length > 0) {
  const isHelp = spegel === '--help' || spegel === '-h';
  console[isHelp ? 'log' : 'error'](usage);
  process.exit(isHelp ? 0 : 2);
}
const run = fileURLToPath(new URL('../run.ts', import.meta.url));
const env = { ...process.env, [spegelVariable]: resolve(spegel) };
const args = [run, 'test/scale/peers.test.ts', '--verbose'];
process.exitCode = spawnSync(process.execPath, args, { stdio: 'inherit', env }).status ?? 1;
