import { formatSize } from '../../util/size.ts';
import type { Freed, Removed } from '../../ports/usecases.ts';
import { print, type Shell } from '../shell.ts';
import { formatCount, formatDigest, formatLines } from '../text.ts';

/** Removes references, in order, and frees what nothing else holds. The first that cannot be removed ends it. */
export async function rm(shell: Shell, references: readonly string[]): Promise<void> {
  const removed: Removed[] = [];
  try {
    for (const reference of references) removed.push(await shell.house.artifacts.remove(reference));
  } finally {
    const freed = sumOf(removed);
    // What was removed before a failure is reported all the same.
    if (removed.length > 0)
      print(shell, {
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

/** How many of those that keep content are named. */
const named = 5;

function formatRemoved({ reference, digest, keptBy }: Removed, whole: boolean): readonly string[] {
  const removed = `removed ${reference} (${formatDigest(digest, whole)})`;
  if (keptBy.length === 0) return [removed];
  const more = keptBy.length > named ? [`${keptBy.length - named} more`] : [];
  return [removed, `kept what is also used by ${[...keptBy.slice(0, named), ...more].join(', ')}`];
}

/** Frees everything that nothing holds. */
export async function prune(shell: Shell): Promise<void> {
  const freed = await shell.house.artifacts.prune(shell.signal);
  print(shell, { value: freed, text: () => formatFreed(freed), names: [] });
}

function formatFreed(freed: Freed): string {
  return `freed ${formatSize(freed.bytes)}, ${formatCount(freed.artifacts, 'artifact')}\n`;
}
