import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Shell, Terminal } from './shell.ts';

/** Whether a user at a terminal can answer. */
export function canAsk({ stdin, stderr }: Terminal): boolean {
  return stdin.isTTY === true && stderr.isTTY === true;
}

/** Asks on the terminal. Only yes is yes; the end of input is no. @throws the reason of the signal. */
export async function confirm({ terminal, signal }: Shell, question: string): Promise<boolean> {
  const lines = createInterface({ input: terminal.stdin, terminal: false });
  try {
    terminal.stderr.write(question);
    const ended = once(lines, 'close', { signal }).then(() => ['']);
    const [answer] = (await Promise.race([once(lines, 'line', { signal }), ended])) as readonly string[];
    return /^\s*y(?:es)?\s*$/i.test(answer ?? '');
  } catch (thrown) {
    terminal.stderr.write('\n');
    signal.throwIfAborted();
    throw thrown;
  } finally {
    lines.close();
  }
}
