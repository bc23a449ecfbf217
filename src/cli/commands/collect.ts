import { formatSize } from '../../util/size.ts';
import type { Freed } from '../../ports/usecases.ts';
import { print, type Shell } from '../shell.ts';
import { formatCount } from '../text.ts';

/** Removes references, in order, and frees what nothing else holds. The first that cannot be removed ends it. */
export async function rm(shell: Shell, references: readonly string[]): Promise<void> {
  const removed: string[] = [];
  const freed = { artifacts: 0, bytes: 0 };
  try {
    for (const reference of references) {
      const { artifacts, bytes } = await shell.house.artifacts.remove(reference);
      removed.push(reference);
      freed.artifacts += artifacts;
      freed.bytes += bytes;
    }
  } finally {
    // What was removed before a failure is reported all the same.
    if (removed.length > 0)
      print(shell, { value: { removed, ...freed }, text: () => formatFreed(freed), names: removed });
  }
}

/** Frees everything that nothing holds. */
export async function prune(shell: Shell): Promise<void> {
  const freed = await shell.house.artifacts.prune(shell.signal);
  print(shell, { value: freed, text: () => formatFreed(freed), names: [] });
}

function formatFreed(freed: Freed): string {
  return `freed ${formatSize(freed.bytes)}, ${formatCount(freed.artifacts, 'artifact')}\n`;
}
