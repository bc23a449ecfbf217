import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';

/** The milliseconds after which a program that does not start or end is broken, however slow the machine is. */
const timeoutMs = 60_000;

/** A program in the background; disposing it kills it. It does not outlive this process. */
export type Child = AsyncDisposable & {
  readonly pid: number;
  /** Its output so far, both streams. */
  readonly output: () => string;
  /** Whether it has not ended yet. */
  readonly alive: () => boolean;
  /** Sends a signal and waits at most a minute for the end. Returns the exit code, or the signal that ended it. */
  readonly end: (signal: NodeJS.Signals) => Promise<number | NodeJS.Signals>;
};

/** Starts a program by its path, without standard input. @throws if it cannot be started. */
export async function startChild(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Child> {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  await once(child, 'spawn');
  const killAtExit = (): void => void child.kill('SIGKILL');
  process.on('exit', killAtExit);
  child.on('close', () => process.off('exit', killAtExit));
  const end = (signal: NodeJS.Signals): Promise<number | NodeJS.Signals> =>
    endChild(child, signal, () => output);
  return {
    pid: child.pid ?? -1,
    output: () => output,
    alive: () => child.exitCode === null && child.signalCode === null,
    end,
    [Symbol.asyncDispose]: async () => void (await end('SIGKILL')),
  };
}

async function endChild(
  child: ChildProcess,
  signal: NodeJS.Signals,
  output: () => string,
): Promise<number | NodeJS.Signals> {
  if (child.exitCode === null && child.signalCode === null) {
    const ended = once(child, 'exit', { signal: AbortSignal.timeout(timeoutMs) });
    child.kill(signal);
    await ended.catch(() => {
      throw new Error(
        `process ${child.pid} did not end within ${timeoutMs} ms of ${signal}; it wrote:\n${output()}`,
      );
    });
  }
  return child.exitCode ?? child.signalCode ?? 0;
}

/**
 * Waits until a condition holds while the child lives.
 *
 * @throws with the child's output when it ends, or after `limitMs`.
 */
export async function waitUntil(
  child: Child,
  condition: () => boolean | Promise<boolean>,
  what: string,
  limitMs: number = timeoutMs,
): Promise<void> {
  const limit = performance.now() + limitMs;
  while (!(await condition())) {
    if (!child.alive()) throw new Error(`the process ended before ${what}; it wrote:\n${child.output()}`);
    if (performance.now() > limit)
      throw new Error(`not ${what} in ${limitMs} ms; it wrote:\n${child.output()}`);
    await sleep(10);
  }
}
