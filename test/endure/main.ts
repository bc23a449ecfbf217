import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { openRandom } from '../support/os/random.ts';
import { readOptions } from '../tools/usage.ts';
import { endure } from './endurance.ts';
import { endureFailures, type Failures } from './failures.ts';

/**
 * `npm run endure [-- --kills 2000 --failures 10000 --seed 7]`: builds the daemon, publishes so many artifacts whose
 * layers fail, and kills the daemon so many times at random moments. It fails at the first wrong byte, lost volume or
 * leaked mount, thread or file, or if the daemon ends by itself, and prints the seed that decides the requests.
 */

const usage = 'npm run endure [-- --kills <count> --failures <count> --seed <number>]';

function readNumber(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0) return value;
  console.error(`invalid --${name} "${text}": must be a whole number\nusage: ${usage}`);
  return process.exit(2);
}

const values = readOptions(usage, {
  kills: { type: 'string', default: '2000' },
  failures: { type: 'string', default: '10000' },
  seed: { type: 'string', default: String(randomInt(1, 2 ** 31)) },
});
const kills = readNumber('kills', values.kills);
const failures = readNumber('failures', values.failures);
const seed = readNumber('seed', values.seed);

if (spawnSync('npm', ['run', '--silent', 'build'], { stdio: 'inherit' }).status !== 0) process.exit(1);
const program = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
console.log(`${failures} publishes of layers that fail, ${kills} kills, seed ${seed}`);

function startClock(): () => string {
  const start = performance.now();
  return () => ((performance.now() - start) / 1000).toFixed(0);
}

function describe({ publishes, codes }: Failures): string {
  return `${publishes} publishes of layers that fail: ${[...codes].map(([code, count]) => `${count} ${code}`).join(', ')}`;
}

if (failures > 0) {
  const seconds = startClock();
  const ended = await endureFailures(program, failures, openRandom(seed), soFar =>
    console.log(`${describe(soFar)}, ${seconds()} s`),
  );
  console.log(`${describe(ended)} in ${seconds()} s; the daemon lives, with no more threads or open files`);
}

if (kills > 0) {
  const seconds = startClock();
  const { calls, killedCalls, reboots, moves } = await endure(program, kills, openRandom(seed), soFar =>
    console.log(`${soFar.kills} kills, ${soFar.calls} calls, ${soFar.reboots} reboots`),
  );
  console.log(
    `${kills} kills in ${seconds()} s: ${calls} calls of kubelet, ${killedCalls} lives cut in a call, ${reboots} reboots without a registry, ` +
      `${moves} tags moved; 0 wrong bytes, 0 lost volumes, 0 leaked mounts`,
  );
}
