import { type Options, printLine, type Shell } from '../shell.ts';
import { exitCodes } from '../exit.ts';
import { openProgress } from '../progress.ts';
import { formatCount } from '../text.ts';
import { printable } from '../../util/printable.ts';

/** Verifies the whole cache. Answers `corrupt` while anything wrong is left in it. */
export async function fsck(shell: Shell, _: readonly string[], options: Options): Promise<number> {
  let wrong = 0;
  let left = 0;
  using view = shell.json ? undefined : openProgress(shell.terminal.stderr);
  const { checked } = await shell.house.artifacts.fsck(
    options.repair === true,
    finding => {
      view?.hide();
      wrong++;
      if (!finding.repaired) left++;
      const outcome = finding.repaired ? ' (out of use; the next mount brings it anew)' : '';
      printLine(
        shell,
        { kind: 'finding', ...finding },
        () => `${printable(`${finding.path}: ${finding.problem}`)}${outcome}\n`,
      );
    },
    shell.signal,
    reached => view?.update({ phase: 'check', ...reached }),
  );
  view?.hide();
  const advice = left === 0 ? '' : '; fsck --repair takes it out of use';
  printLine(
    shell,
    { kind: 'checked', checked, wrong },
    () => `${formatCount(checked, 'item')} checked, ${wrong} wrong${advice}\n`,
  );
  return left === 0 ? 0 : exitCodes.corrupt;
}
