import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { temporaryDirectory } from '../os/temporary.ts';
import { formatTimes, timesVariable } from './file-times.ts';

const burn = 'while (process.cpuUsage().user < 300_000);';

test('the CPU time of a file includes the processes that it started', async () => {
  await using directory = await temporaryDirectory();
  const [file, times] = [join(directory.path, 'a.mjs'), join(directory.path, 'times')];
  writeFileSync(
    file,
    `import { spawnSync } from 'node:child_process';
     if (process.argv[2] !== 'child') spawnSync(process.execPath, [import.meta.filename, 'child']);
     ${burn}`,
  );
  const env = { ...process.env, [timesVariable]: times };
  spawnSync(process.execPath, ['--import', import.meta.resolve('./file-times.ts'), file], { env });
  const written = readFileSync(times, 'utf8');
  const { cpu } = JSON.parse(written) as { readonly cpu: number };
  assert.ok(cpu > 0.55, written);
});

test('the file that costs most is the first line, and the sum is the last', () => {
  const written = [
    { file: '/p/cheap', cpu: 1 },
    { file: '/p/dear', cpu: 2.25 },
  ].map(line => `${JSON.stringify(line)}\n`);
  const walls = [
    { file: '/p/cheap', wall: 20 },
    { file: '/p/dear', wall: 3 },
  ];
  assert.deepEqual(formatTimes('/p', walls, written.join('')), [
    '    3.0 s     2.3 s of CPU  dear',
    '   20.0 s     1.0 s of CPU  cheap',
    '   23.0 s     3.3 s of CPU  all files',
  ]);
});
