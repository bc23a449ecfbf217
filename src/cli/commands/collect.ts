import type { Freed, FreedItem, Pruned, Removed } from '../../ports/usecases.ts';
import { ArtifactError } from '../../util/error.ts';
import { formatSize } from '../../util/size.ts';
import { formatCount, formatDigest } from '../../util/words.ts';
import { print } from '../output.ts';
import { canAsk, confirm } from '../question.ts';
import type { Options, Shell } from '../shell.ts';
import { formatTable, type TableHeader } from '../table.ts';
import { formatLines } from '../text.ts';

/** Removes references in order, and frees what nothing else uses. Ends at the first that cannot be removed. */
export async function rm(shell: Shell, references: readonly string[]): Promise<void> {
  const removed: Removed[] = [];
  try {
    for (const reference of references) removed.push(await shell.backend.artifacts.remove(reference));
  } finally {
    const freed = sumOf(removed);
    // What was removed before a failure is printed all the same.
    if (removed.length > 0)
      await print(shell, {
        value: {
          removed: removed.map(({ reference, digest, keptBy }) => ({ reference, digest, keptBy })),
          ...freed,
        },
        text: () => formatLines(removed.flatMap(one => formatRemoved(one, shell.whole))) + formatFreed(freed),
        names: removed.map(({ reference }) => reference),
      });
  }
}

function sumOf(all: readonly Freed[]): Freed {
  const sum = (of: (freed: Freed) => number): number => all.reduce((total, freed) => total + of(freed), 0);
  return { artifacts: sum(({ artifacts }) => artifacts), bytes: sum(({ bytes }) => bytes) };
}

/** Users of kept content that are named. */
const named = 5;

function formatRemoved({ reference, digest, keptBy }: Removed, whole: boolean): readonly string[] {
  const removed = `removed ${reference} (${formatDigest(digest, whole)})`;
  if (keptBy.length === 0) return [removed];
  const more = keptBy.length > named ? [`${keptBy.length - named} more`] : [];
  return [removed, `kept what is also used by ${[...keptBy.slice(0, named), ...more].join(', ')}`];
}

/**
 * Frees everything that nothing uses, or lists it. Asks first.
 *
 * @throws ArtifactError `cancelled` for an answer other than yes; `invalid` if it may free without `--yes` and nobody can
 *   be asked.
 */
export async function prune(shell: Shell, _: readonly string[], options: Options): Promise<void> {
  const { artifacts } = shell.backend;
  if (options['dryRun'] === true) {
    const pruned = await artifacts.previewPrune(shell.signal);
    return await printPruned(
      shell,
      pruned,
      formatItems(pruned.items, shell) + formatFreed(pruned, 'would free'),
    );
  }
  if (options['yes'] !== true) {
    if (!canAsk(shell.terminal)) throw new ArtifactError('invalid', unasked);
    const { bytes, artifacts: count } = await artifacts.previewPrune(shell.signal);
    const question = `Free ${formatCount(count, 'artifact')}, ${formatSize(bytes)}? [y/N] `;
    if (bytes > 0 && !(await confirm(shell, question)))
      throw new ArtifactError('cancelled', 'nothing was freed');
  }
  const pruned = await artifacts.prune(shell.signal);
  await printPruned(shell, pruned, formatFreed(pruned));
}

const unasked =
  'prune asks before it frees, and without a terminal (in a script, or by `kubectl exec` without -it) nobody can be asked; list what it would free with --dry-run, and free it with --yes';

async function printPruned(shell: Shell, pruned: Pruned, text: string): Promise<void> {
  const names = pruned.items.map(({ reference, digest }) => reference ?? digest);
  await print(shell, { value: pruned, text: () => text, names });
}

const header: TableHeader = { REFERENCE: 'key', DIGEST: 'digest', SIZE: 'fixed' };

function formatItems(items: readonly FreedItem[], { columns, whole }: Shell): string {
  const rows = items.map(({ reference = '-', digest, bytes }) => [
    reference,
    formatDigest(digest, whole),
    formatSize(bytes),
  ]);
  return formatTable(header, rows, columns);
}

function formatFreed(freed: Freed, did = 'freed'): string {
  return `${did} ${formatSize(freed.bytes)}, ${formatCount(freed.artifacts, 'artifact')}\n`;
}
