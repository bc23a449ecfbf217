import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Shell, Terminal } from './shell.ts';

/** Whether somebody sits at a terminal, and sees what is asked. */
export function canAsk({ stdin, stderr }: Terminal): boolean {
  return stdin.isTTY === true && stderr.isTTY === true;
}

/** Asks at the terminal. Whatever is not yes is no, and so is the end of the input. @throws the reason of the signal. */
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
