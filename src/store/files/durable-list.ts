import { type FileHandle, open } from 'node:fs/promises';
import { ArtifactError } from '../../util/error.ts';
import { shareRuns } from '../../util/shared-run.ts';
import { readIfThere } from './absent.ts';
import { writeAside } from './atomic-file.ts';
import type { Directory } from './directory.ts';

/** A set of names in a file. A power cut never takes a name from it that had been added. */
export type DurableList = AsyncDisposable & {
  /** Whether it is in the list, durably, and not being removed. */
  has(name: string): boolean;
  names(): readonly string[];
  /** Adds them durably, unless they are removed meanwhile. Concurrent calls share a write. */
  add(names: readonly string[]): Promise<void>;
  /** When this returns, a power cut does not bring them back. */
  remove(names: readonly string[]): Promise<void>;
};

/** Bytes after which the file is written anew. */
const longest = 1024 * 1024;

/**
 * Opens the list of this boot, and answers the list that another boot has left.
 *
 * @param above the directory of the file.
 */
export async function openDurableList(
  path: string,
  above: Pick<Directory, 'sync'>,
  aside: () => string,
  bootId: string,
): Promise<{ readonly list: DurableList; readonly left: readonly string[] }> {
  const found = parseList(readIfThere(path) ?? '');
  const isOwn = found.bootId === bootId;
  const listed = new Set<string>(isOwn ? found.names : []);
  const entering = new Set<string>();
  const leaving = new Set<string>();
  let file: FileHandle | undefined;
  let size = 0;

  /** Writes a new file: the first one, or the one after many changes. */
  const begin = async (names: Iterable<string>): Promise<void> => {
    await writeAside(aside(), path, formatList(bootId, names), true);
    await above.sync();
    await file?.close();
    file = undefined;
    file = await open(path, 'a');
    size = (await file.stat()).size;
  };
  const change = async (opened: FileHandle, entered: readonly string[], left: readonly string[]) => {
    const isEmpty = listed.size === 0;
    if (isEmpty) await opened.truncate(formatList(bootId, []).length);
    const removed = isEmpty ? [] : left;
    // The line before may be torn, if the disk was full.
    const lines = ['', ...removed.map(name => `-${name}`), ...entered.map(name => `+${name}`), ''];
    await opened.appendFile(lines.join('\n'));
    await opened.datasync();
    size = (await opened.stat()).size;
  };
  const write = shareRuns(async () => {
    const [entered, left] = [[...entering], [...leaving]];
    entering.clear();
    leaving.clear();
    if (entered.length + left.length === 0) return;
    if (file === undefined || size > longest) await begin([...listed, ...entered]);
    else await change(file, entered, left);
    for (const name of entered) if (!leaving.has(name)) listed.add(name);
  });

  return {
    left: isOwn ? [] : [...found.names],
    list: {
      has: name => listed.has(name),
      names: () => [...listed],
      async add(names) {
        for (const name of names) entering.add(name);
        await write();
      },
      async remove(names) {
        for (const name of names) {
          listed.delete(name);
          entering.delete(name);
          leaving.add(name);
        }
        await write();
      },
      async [Symbol.asyncDispose]() {
        await file?.close();
      },
    },
  };
}

/** The variant for a read-only store. @param why the reason, for errors. */
export function closedList(why: string): DurableList {
  return {
    has: () => false,
    names: () => [],
    add: async () => {
      throw new ArtifactError('internal', why);
    },
    async remove() {},
    async [Symbol.asyncDispose]() {},
  };
}

function formatList(bootId: string, names: Iterable<string>): string {
  let text = `boot ${bootId}\n`;
  for (const name of names) text += `+${name}\n`;
  return text;
}

/** A torn line is skipped: its name was never reported as added, or never as removed. */
function parseList(text: string): { readonly bootId: string; readonly names: ReadonlySet<string> } {
  const [head = '', ...lines] = text.split('\n').slice(0, -1);
  const names = new Set<string>();
  for (const line of lines) {
    if (line.startsWith('+')) names.add(line.slice(1));
    if (line.startsWith('-')) names.delete(line.slice(1));
  }
  return { bootId: head.replace(/^boot /, ''), names };
}
