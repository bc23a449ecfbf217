import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { runShell } from '../../../test/support/node/shell.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { needs } from '../../../test/support/project/tools.ts';

const scriptOf = async (shell: string): Promise<string> => (await runShell(['completion', shell])).stdout;

/** Runs lines in a shell that has read the completion script, with a program of our name that lists two references. */
async function complete(shell: 'bash' | 'zsh' | 'fish', lines: string): Promise<readonly string[]> {
  await using directory = await temporaryDirectory();
  const program = join(directory.path, 'oci-artifact-csi');
  writeFileSync(program, '#!/bin/sh\n[ "$*" = "ls --quiet" ] && printf "models/a:1\\nmodels/\\$(id)\\n"\n');
  chmodSync(program, 0o755);
  const script = join(directory.path, 'script');
  writeFileSync(script, await scriptOf(shell));
  const env = { ...process.env, HOME: directory.path, PATH: `${directory.path}:${process.env['PATH']}` };
  const before = shell === 'zsh' ? 'autoload -Uz compinit; compinit -D -u\n' : '';
  const { stdout, stderr } = spawnSync(shell, ['-c', `${before}source ${script}\n${lines}`], {
    env,
    encoding: 'utf8',
  });
  assert.equal(stderr, '');
  return stdout.split('\n').filter(line => line !== '');
}

/** What bash offers at the end of a command line. */
const bash = (...words: readonly string[]): Promise<readonly string[]> =>
  complete(
    'bash',
    `COMP_WORDS=(${words.map(word => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}
_oci_artifact_csi; printf '%s\\n' "\${COMPREPLY[@]}"`,
  );

test(
  'bash completes commands, flags, their values, and the references of the cache',
  needs('bash'),
  async () => {
    assert.deepEqual(await bash('oci-artifact-csi', 'pru'), ['prune']);
    assert.deepEqual(await bash('oci-artifact-csi', 'pull', '--pull'), ['--pull-policy']);
    assert.deepEqual(await bash('oci-artifact-csi', 'pull', '--pull-policy', ''), [
      'Always',
      'IfNotPresent',
      'Never',
    ]);
    assert.deepEqual(await bash('oci-artifact-csi', 'inspect', 'models/a'), ['models/a:1']);
    assert.deepEqual(await bash('oci-artifact-csi', 'completion', ''), ['bash', 'zsh', 'fish']);
  },
);

test('what the cache names is never run by the shell that completes it', needs('bash'), async () => {
  assert.deepEqual(await bash('oci-artifact-csi', 'rm', 'models/'), ['models/a:1', 'models/$(id)']);
});

test('fish completes the same', needs('fish'), async () => {
  const fish = async (line: string): Promise<readonly string[]> =>
    (await complete('fish', `complete -C '${line}'`)).map(offer => offer.split('\t')[0] ?? '');
  assert.deepEqual(await fish('oci-artifact-csi pru'), ['prune']);
  assert.deepEqual(await fish('oci-artifact-csi pull --pull-policy '), ['Always', 'IfNotPresent', 'Never']);
  assert.deepEqual(await fish('oci-artifact-csi inspect models/a'), ['models/a:1']);
});

test('zsh loads the script, offers it for the program, and finds the references', needs('zsh'), async () => {
  const found = await complete(
    'zsh',
    'print $_comps[oci-artifact-csi]; compadd() { print -l ${(P)2} }; _oci_artifact_csi_references',
  );
  assert.deepEqual(found, ['_oci_artifact_csi', 'models/a:1', 'models/$(id)']);
});

test('a shell that has no script is refused with those that have', async () => {
  const { code, stderr } = await runShell(['completion', 'tcsh']);
  assert.equal(code, 2);
  assert.match(stderr, /invalid shell "tcsh": must be one of bash, zsh, fish/);
});
