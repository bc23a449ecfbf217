import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { temporaryDirectory } from '../os/temporary.ts';
import { limitVariable } from './time-limit.ts';

test('a file that takes too long ends, and says what kept it', async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'a.mjs');
  const run = (source: string) => {
    writeFileSync(file, source);
    const args = ['--import', import.meta.resolve('./time-limit.ts'), file];
    const env = { ...process.env, [limitVariable]: '0.01' };
    return spawnSync(process.execPath, args, { env, encoding: 'utf8', timeout: 60_000 });
  };
  const hung = run('setInterval(() => {}, 1_000);');
  assert.deepEqual([hung.status, hung.signal], [1, null]);
  assert.match(hung.stderr, /more than 0\.01 minutes; what keeps the process: .*Timeout/);
  assert.deepEqual(run('').status, 0);
});
