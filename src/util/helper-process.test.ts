import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { type TemporaryDirectory, temporaryDirectory } from '../../test/support/os/temporary.ts';
import { ArtifactError } from '../util/error.ts';
import { type HelperProgram, runProgram } from './helper-process.ts';

const never = new AbortController().signal;
const shell = (script: string, program: Partial<HelperProgram> = {}): HelperProgram => ({
  path: '/bin/sh',
  args: ['-c', script],
  environment: {},
  input: '',
  limitMs: 10_000,
  ...program,
});

let directory: TemporaryDirectory;
before(async () => {
  directory = await temporaryDirectory();
});
after(() => directory[Symbol.asyncDispose]());

async function isGone(pidFile: string): Promise<boolean> {
  const pid = Number(readFileSync(pidFile, 'utf8'));
  for (let tries = 0; tries < 1_000; tries++) {
    try {
      // A killed process stays a zombie until its new parent collects it.
      if (readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')) return true;
    } catch {
      return true;
    }
    await sleep(10);
  }
  return false;
}

test('input, arguments and environment reach the program, and its output and exit code are returned', async () => {
  const program = shell('read line; printf "%s|%s|%s" "$line" "$1" "$A"; exit 3', {
    args: ['-c', 'read line; printf "%s|%s|%s" "$line" "$1" "$A"; exit 3', 'sh', '$(id); x'],
    environment: { A: 'b c' },
    input: 'héllo\n',
  });
  assert.deepEqual(await runProgram(program, never), { code: 3, output: 'héllo|$(id); x|b c' });
});

test("the daemon's own environment is passed on, including PATH", async () => {
  const { output } = await runProgram(shell('printf %s "$PATH"'), never);
  assert.equal(output, process.env['PATH']);
});

test('a program that does not read its input is not an error', async () => {
  const input = 'x'.repeat(1 << 20);
  assert.deepEqual(await runProgram(shell('exit 0', { input }), never), { code: 0, output: '' });
});

const refused: readonly (readonly [why: string, program: HelperProgram, message: RegExp])[] = [
  [
    'is absent',
    shell('', { path: '/absent/S3' }),
    /^\/absent\/S3 cannot be started \(ENOENT\); it must be there and executable$/,
  ],
  ['is not on PATH', shell('', { path: 'docker-credential-absent' }), /ENOENT.*on the daemon's PATH$/],
  ['is not executable', shell('', { path: '/etc/passwd' }), /cannot be started \(EACCES\)/],
  [
    'has an argument that cannot be',
    shell('', { args: ['a\0SECRET'] }),
    /cannot be started \(ERR_INVALID_ARG_VALUE\)/,
  ],
  ['has an environment that cannot be', shell('', { environment: { A: 'SECRET\0' } }), /cannot be started/],
  ['is ended by a signal', shell('kill -TERM $$'), /was ended by SIGTERM/],
  ['writes too much', shell('head -c 2000000 /dev/zero; sleep 60'), /wrote more than 1048576 bytes/],
  ['does not end', shell('sleep 60', { limitMs: 100 }), /did not end in 0\.1 s/],
  ['ends, but leaves its output open', shell('sleep 60 & exit 0', { limitMs: 300 }), /did not end in 0\.3 s/],
];
for (const [why, program, message] of refused) {
  test(`a program that ${why} is unavailable, and its output is not quoted`, async () => {
    await assert.rejects(
      runProgram({ ...program, input: 'SECRET' }, never),
      (thrown: unknown) =>
        thrown instanceof ArtifactError &&
        thrown.code === 'unavailable' &&
        message.test(thrown.message) &&
        !inspect(thrown, { depth: 10 }).includes('SECRET'),
    );
  });
}

test('after the time limit, all processes that it started are killed', async () => {
  const pid = join(directory.path, 'late');
  const script = `sleep 60 & echo $! > ${pid}; wait`;
  await assert.rejects(runProgram(shell(script, { limitMs: 1_000 }), never), { code: 'unavailable' });
  assert.ok(await isGone(pid));
});

test('when the daemon stops, it kills running programs and starts no more', async () => {
  const pid = join(directory.path, 'stopped');
  const closing = new AbortController();
  const running = runProgram(shell(`echo $$ > ${pid}; exec sleep 60`), closing.signal);
  while (!existsSync(pid) || readFileSync(pid, 'utf8') === '') await sleep(10);
  closing.abort(new Error('stopping'));
  await assert.rejects(running, /^Error: stopping$/);
  assert.ok(await isGone(pid));
  await assert.rejects(runProgram(shell('true'), closing.signal), /^Error: stopping$/);
});
