import { appendFileSync, readFileSync } from 'node:fs';
import { writeAside } from './atomic-file.ts';

/**
 * Lines that are only ever added, the last of a key being its value: `verified` and `sizes`, below the state dir. They are written
 * some time after they were put, and not synced: a line that is lost costs work, never a wrong answer. The last line of
 * a journal that was closed says so, so that the next life knows whether this one ended well.
 */
export type Journal = {
  /** What was there, and whether its last life closed it. */
  readonly lines: ReadonlyMap<string, string>;
  readonly closed: boolean;
  put(key: string, value: string): void;
  close(): Promise<void>;
};

const end = 'closed';
/** Milliseconds that lines wait for more. */
const gatherMs = 200;
/** Lines beyond twice the number of keys after which the file is written anew. */
const slack = 10_000;

/** One that is only read: what is put is forgotten with this process. */
export function readJournal(path: string): Journal {
  return { ...parse(path), put() {}, async close() {} };
}

/** Keys and values hold no line break, and keys no space. An empty value takes a key away. */
export async function openJournal(path: string, aside: () => string): Promise<Journal> {
  const { lines, closed } = parse(path);
  const values = new Map(lines);
  let waiting: string[] = [];
  let timer: NodeJS.Timeout | undefined;
  let written = 0;
  let rewriting: Promise<void> | undefined;

  const rewrite = async (): Promise<void> => {
    written = 0;
    const text = [...values].map(([key, value]) => `${key} ${value}\n`).join('');
    await writeAside(aside(), path, text, true);
  };
  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (rewriting !== undefined) return; // lines wait for the new file
    const text = waiting.join('');
    written += waiting.length;
    waiting = [];
    try {
      if (text !== '') appendFileSync(path, text);
    } catch {
      // A full disk: what is not noted is verified again.
    }
    if (written > values.size + slack) {
      rewriting = rewrite()
        .catch(() => {})
        .finally(() => {
          rewriting = undefined;
          flush();
        });
    }
  };

  await rewrite(); // and so the mark of the last end is gone, durably
  return {
    lines,
    closed,
    put(key, value) {
      if (value === '') values.delete(key);
      else values.set(key, value);
      waiting.push(`${key} ${value}\n`);
      timer ??= setTimeout(flush, gatherMs).unref();
    },
    async close() {
      await rewriting;
      flush();
      try {
        appendFileSync(path, `${end}\n`, { flush: true });
      } catch {
        // A full disk: the next life does not know how this one ended, and verifies more.
      }
    },
  };
}

function parse(path: string): { lines: ReadonlyMap<string, string>; closed: boolean } {
  const lines = new Map<string, string>();
  const text = readIfWhole(path);
  for (const line of text.split('\n').slice(0, -1)) {
    const space = line.indexOf(' ');
    if (space <= 0) continue;
    const value = line.slice(space + 1);
    if (value === '') lines.delete(line.slice(0, space));
    else lines.set(line.slice(0, space), value);
  }
  return { lines, closed: text.endsWith(`\n${end}\n`) || text === `${end}\n` };
}

function readIfWhole(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // absent, or unreadable: nothing is known, and all is verified again
  }
}
