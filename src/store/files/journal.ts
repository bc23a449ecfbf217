import { closeSync, constants, fsyncSync, ftruncateSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { never } from '../../util/abortable.ts';
import { errnoOf } from '../../util/error.ts';
import { startPace } from '../../util/pace.ts';
import { isIrregular, openRegular, readRegular } from '../../util/regular-file.ts';
import { writeAside } from './atomic-file.ts';

/**
 * An append-only file of lines, where the last line of a key has its value: `verified` and `sizes` in the state
 * directory. Lines are written some time after they were put, and not synced: a lost line costs work, never a wrong
 * answer. The last line of a closed journal marks it, so the next process knows whether this one ended cleanly.
 */
export type Journal = {
  /** The values read from the file, and whether the last process closed it. */
  readonly lines: ReadonlyMap<string, string>;
  readonly closed: boolean;
  put(key: string, value: string): void;
  close(): Promise<void>;
};

const end = 'closed';
/** Milliseconds that lines wait for more. */
const gatherMs = 200;
/** The lines beyond twice the number of keys after which the file is rewritten. */
const slack = 10_000;
/** Characters that are written at once. */
const partLength = 64 * 1024;

/** A read-only journal: what is put is forgotten with this process. */
export function readJournal(path: string): Journal {
  return { ...parse(path), put() {}, async close() {} };
}

/**
 * Keys and values contain no line break, and keys no space. An empty value removes a key. On a full disk it opens as
 * after an end that was not clean: it says less, and what is put may be lost.
 *
 * @throws on a disk that is read-only.
 */
export async function openJournal(path: string, aside: () => string): Promise<Journal> {
  makeWay(path);
  const { lines, closed: wasClosed } = parse(path);
  const values = new Map(lines);
  let waiting: string[] = [];
  let timer: NodeJS.Timeout | undefined;
  let written = 0;
  let rewriting: Promise<void> | undefined;
  /** Whether the file lacks lines that were put. */
  let isBehind = false;

  const rewrite = async (): Promise<void> => {
    written = 0;
    await writeAside(aside(), path, formatInParts(values), true);
    isBehind = false;
  };
  /** Removes the closing mark of the last process, durably. Returns whether it is known how that one ended. */
  const begin = async (): Promise<boolean> => {
    try {
      await rewrite();
      return true;
    } catch (thrown) {
      if (errnoOf(thrown) === 'EROFS') throw thrown;
      isBehind = true;
      removeMark(path);
      return false;
    }
  };
  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (rewriting !== undefined) return; // lines wait for the new file
    const text = waiting.join('');
    written += waiting.length;
    waiting = [];
    try {
      if (text !== '') append(path, text);
    } catch {
      isBehind = true; // A full disk: what is not recorded is verified again.
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

  const closed = (await begin()) && wasClosed;
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
        if (isBehind) await rewrite();
        append(path, `${end}\n`, fsyncSync);
      } catch {
        // A full disk: the next process does not know how this one ended, and verifies more.
      }
    },
  };
}

/** Removes the closing mark without room for more, or all lines: then nothing is known. */
function removeMark(path: string): void {
  try {
    const fd = openRegular(path, constants.O_RDWR);
    try {
      const bytes = readFileSync(fd);
      const mark = Buffer.from(`${end}\n`);
      if (bytes.subarray(-mark.length).equals(mark)) ftruncateSync(fd, bytes.length - mark.length);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch {
    rmSync(path, { recursive: true, force: true });
  }
}

/** Removes something that is no file, which could never be written. */
function makeWay(path: string): void {
  try {
    append(path, '');
  } catch (thrown) {
    if (isIrregular(thrown)) rmSync(path, { recursive: true, force: true });
  }
}

function append(path: string, text: string, settle = (_fd: number): void => {}): void {
  const fd = openRegular(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT, 0o666);
  try {
    writeFileSync(fd, text);
    settle(fd);
  } finally {
    closeSync(fd);
  }
}

/** There may be hundreds of thousands of lines. */
async function* formatInParts(values: ReadonlyMap<string, string>): AsyncGenerator<string> {
  const pace = startPace(never);
  let part = '';
  for (const [key, value] of values) {
    part += `${key} ${value}\n`;
    if (part.length < partLength) continue;
    yield part;
    part = '';
    await pace();
  }
  yield part;
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
    return readRegular(path, 'latin1');
  } catch {
    return ''; // absent or unreadable: nothing is known, and all is verified again
  }
}
