import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { describe, test } from 'node:test';

describe('a program of the project', () => {
  for (const program of ['bench/main', 'tools/build', 'tools/install'])
    test(`test/${program}.ts prints its usage for --help, and that beside a wrong option`, () => {
      const run = (option: string): { status: number | null; stdout: string; stderr: string } =>
        spawnSync(process.execPath, [`test/${program}.ts`, option], { encoding: 'utf8' });
      const { status, stdout, stderr } = run('--help');
      assert.deepEqual([status, stderr], [0, '']);
      assert.match(stdout, /^usage: npm run [a-z]+ \[/);
      const wrong = run('--nonsense');
      assert.equal(wrong.status, 2);
      assert.ok(wrong.stderr.endsWith(stdout) && !wrong.stderr.includes('    at '), wrong.stderr);
    });
});
