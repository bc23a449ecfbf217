import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { Command } from 'commander';
import { runShell } from '../../../test/support/node/shell.ts';
import { needs } from '../../../test/support/project/tools.ts';
import { formatManPage } from './man-page.ts';

/** The page as a terminal shows it. @throws if groff warns. */
function render(page: string): string {
  const options = ['-man', '-ww', '-Tutf8', '-P-cbou', '-rLL=78n', '-Kutf8'];
  const { stdout, stderr } = spawnSync('groff', options, { input: page, encoding: 'utf8' });
  assert.equal(stderr, '');
  return stdout;
}

test(
  'the manual page has every command, every flag of serve and the exit codes',
  needs('groff'),
  async () => {
    const { stdout } = await runShell(['man']);
    const page = render(stdout).replaceAll('‐\n', '-').replaceAll(/\s+/g, ' ');
    for (const part of [
      'pull reference',
      'inspect reference',
      '--cache-high <PERCENT>',
      'EXIT STATUS',
      '11 no space',
      'oci-artifact-csi fsck --repair',
    ])
      assert.ok(page.includes(part), part);
  },
);

test('texts are shown as they are, whatever roff means by them', needs('groff'), () => {
  const program = new Command('p').description("A program.\n\n.SH is no heading\n'quoted' and a\\b -- c.");
  program.command('do <thing> [more...]').alias('d').description('.does').option('-x, --ex <N>', 'an "x"');
  const page = render(formatManPage(program, '1.0', []));
  for (const part of [
    '.SH is no heading',
    "'quoted' and a\\b -- c.",
    'do thing [more...] (also d)',
    '.does',
    '-x, --ex <N>',
    'an "x"',
  ])
    assert.ok(page.includes(part), `${part} in ${page}`);
});
