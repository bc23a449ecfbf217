import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ArtifactError } from '../../util/error.ts';

/** The daemon as a child process. Disposing kills it. */
export type DaemonProcess = AsyncDisposable & {
  readonly pid: number;
  /** Sends SIGTERM. Answers the exit code. */
  stop(): Promise<number | null>;
  /** Sends SIGKILL. */
  kill(): Promise<void>;
};

const startsWithinMs = 10_000;
const stopsWithinMs = 10_000;

/**
 * Runs `serve` of this program, and returns when its socket answers. It has a process group of its own, so that Ctrl-C
 * reaches only this process, which then unpublishes before it stops the daemon.
 *
 * @throws ArtifactError `unavailable` with the last lines of its log.
 */
export async function startDaemon(
  flags: Readonly<Record<string, string>>,
  socket: string,
  log: string,
  signal: AbortSignal,
): Promise<DaemonProcess> {
  await using output = await open(log, 'w');
  const argv = [
    ...process.execArgv,
    process.argv[1] ?? '',
    'serve',
    ...Object.entries(flags).map(([k, v]) => `${k}=${v}`),
  ];
  // No variables: those of a node must not affect the demo.
  const child = spawn(process.execPath, argv, {
    detached: true,
    stdio: ['ignore', output.fd, output.fd],
    env: { PATH: process.env['PATH'] },
  });
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => {
    await stop(child);
  });
  const deadline = performance.now() + startsWithinMs;
  while (!(await answers(socket))) {
    signal.throwIfAborted();
    if (hasEnded(child) || performance.now() > deadline) {
      const tail = (await readFile(log, 'utf8')).trimEnd().split('\n').slice(-3).join(' ');
      throw new ArtifactError('unavailable', `the daemon did not start: ${tail || 'it wrote no log'}`);
    }
    await sleep(5);
  }
  const running = stack.move();
  return {
    pid: child.pid ?? 0,
    stop: () => stop(child),
    async kill() {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

async function stop(child: ChildProcess): Promise<number | null> {
  if (hasEnded(child)) return child.exitCode;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  using _ = killLater(child);
  await exited;
  return child.exitCode;
}

function killLater(child: ChildProcess): Disposable {
  const timer = setTimeout(() => child.kill('SIGKILL'), stopsWithinMs);
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}

async function answers(path: string): Promise<boolean> {
  const socket = connect({ path });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
