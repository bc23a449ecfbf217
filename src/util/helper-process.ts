import { type ChildProcessByStdio, spawn } from 'node:child_process';
import process from 'node:process';
import type { Readable, Writable } from 'node:stream';
import { createByteCollector } from './byte-collector.ts';
import { ArtifactError, errnoOf } from './error.ts';

/** A program that returns a credential. `path` without a slash is searched on PATH; no shell is involved. */
export type HelperProgram = {
  readonly path: string;
  readonly args: readonly string[];
  /** Added to the daemon's own environment. */
  readonly environment: Readonly<Record<string, string>>;
  readonly input: string;
  readonly limitMs: number;
};

/** Its standard output, which is secret. `code` is its exit code. */
export type Ended = { readonly code: number; readonly output: string };

/** The maximum processes of one program at once: a user who invents registries could otherwise start any number. */
export const maxRuns = 8;

const maxBytes = 1024 * 1024;

/**
 * Runs a program to its end. If it exceeds its time or 1 MiB of output, or the signal fires, it is killed with all
 * processes that it started. Its standard error is dropped: it may contain secrets.
 *
 * @throws ArtifactError `unavailable` with the failure; the signal's reason.
 */
export async function runProgram(program: HelperProgram, signal: AbortSignal): Promise<Ended> {
  const { path, limitMs } = program;
  signal.throwIfAborted();
  const child = start(program);
  const { promise, resolve, reject } = Promise.withResolvers<Ended>();
  const end = (error: unknown): void => {
    killGroup(child);
    reject(error);
  };
  const fail = (why: string): void => end(new ArtifactError('unavailable', `${path} ${why}`));
  const abort = (): void => end(signal.reason);
  const late = setTimeout(() => fail(`did not end in ${limitMs / 1000} s`), limitMs);
  signal.addEventListener('abort', abort);
  const output = createByteCollector(maxBytes);
  child.stdout.on('data', (chunk: Buffer) => {
    if (!output.add(chunk)) fail(`wrote more than ${maxBytes} bytes`);
  });
  child.on('error', error => end(unstartable(path, error)));
  child.on('close', (code, killedBy) => {
    if (code === null) fail(`was ended by ${killedBy ?? 'a signal'}`);
    else resolve({ code, output: output.bytes().toString() });
  });
  child.stdin.on('error', () => undefined); // it may end without reading
  child.stdin.end(program.input);
  try {
    return await promise;
  } finally {
    clearTimeout(late);
    signal.removeEventListener('abort', abort);
    child.stdout.destroy();
  }
}

function start({ path, args, environment }: HelperProgram): ChildProcessByStdio<Writable, Readable, null> {
  try {
    return spawn(path, args, {
      env: { ...process.env, ...environment },
      stdio: ['pipe', 'pipe', 'ignore'],
      detached: true, // a process group of its own, so that all of it can be killed
    });
  } catch (thrown) {
    throw unstartable(path, thrown);
  }
}

/** Without a cause: Node's own errors quote arguments and environment. */
function unstartable(path: string, thrown: unknown): ArtifactError {
  const where = path.includes('/') ? '' : ", and on the daemon's PATH";
  return new ArtifactError(
    'unavailable',
    `${path} cannot be started (${errnoOf(thrown) ?? 'no reason given'}); it must be there and executable${where}`,
  );
}

function killGroup(child: ChildProcessByStdio<Writable, Readable, null>): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The program has ended, with all processes that it started.
  }
}
