import type { Finding } from '../../ports/usecases.ts';
import { formatCount } from '../../util/words.ts';
import { exitCodes } from '../exit.ts';
import { print } from '../output.ts';
import { openProgress } from '../progress.ts';
import type { Options, Shell } from '../shell.ts';
import { formatLines } from '../text.ts';

/** Verifies the whole cache, and prints findings as they come. Answers `corrupt` while damage is left. */
export async function fsck(shell: Shell, _: readonly string[], options: Options): Promise<number> {
  const findings: Finding[] = [];
  using view = openProgress(shell.terminal.stderr, shell.output);
  const { checked } = await shell.backend.artifacts.fsck(
    options.repair === true,
    finding => {
      findings.push(finding);
      if (shell.output !== 'text') return;
      view.hide();
      shell.terminal.stdout.write(formatFinding(finding));
    },
    shell.signal,
    reached => view.update({ phase: 'check', ...reached }),
  );
  view.hide();
  const left = findings.filter(({ repaired }) => !repaired).length;
  const wrong = findings.length;
  const isKept = findings.every(({ repaired, keptBy }) => repaired || keptBy.length > 0);
  const rest = isKept
    ? '; what is left is out of use, and ends with what keeps it'
    : '; fsck --repair takes it out of use, and a pod that has it keeps it until it is deleted';
  const advice = options.repair === true && !isKept ? `, ${left} not repaired` : rest;
  await print(shell, {
    value: { checked, wrong, findings },
    text: () => `${formatCount(checked, 'object')} checked, ${wrong} damaged${left === 0 ? '' : advice}\n`,
    names: findings.map(({ path }) => path),
  });
  return left === 0 ? 0 : exitCodes.corrupt;
}

function formatFinding({ path, problem, artifacts, keptBy, repaired }: Finding): string {
  const outcome = repaired ? ' (out of use; the next mount brings it anew)' : '';
  // A damaged pin is named by its reference.
  const others = artifacts.filter(reference => reference !== path);
  return formatLines([
    `${path}: ${problem}${outcome}`,
    ...(others.length === 0 ? [] : [`  needed by ${others.join(', ')}`]),
    ...(keptBy.length === 0 ? [] : [`  kept only by ${keptBy.join(', ')}`]),
  ]);
}
