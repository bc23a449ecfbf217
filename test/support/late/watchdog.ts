import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { runProgram } from '../os/program.ts';
import { temporaryDirectory } from '../os/temporary.ts';

/**
 * Ends the FUSE connections of this process and its children after so long: what waits for them could not even be
 * killed. Linux 6.18 says which they are.
 */
export async function watchConnections(withinMs: number): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const { path } = stack.use(await temporaryDirectory());
  runProgram('mount', '-t', 'fusectl', 'fusectl', path);
  stack.defer(() => void runProgram('umount', path));
  const abort = (): void => {
    for (const connection of withChildren(process.pid).flatMap(connectionsOf))
      writeFileSync(join(path, connection, 'abort'), '1');
  };
  const timer = setTimeout(abort, withinMs);
  stack.defer(() => clearTimeout(timer));
  return stack.move();
}

function withChildren(pid: number): readonly number[] {
  const tasks = list(`/proc/${pid}/task`);
  const children = tasks.flatMap(task =>
    read(`/proc/${pid}/task/${task}/children`).split(' ').filter(Boolean),
  );
  return [pid, ...children.flatMap(child => withChildren(Number(child)))];
}

/** Returns the numbers of the connections that a process serves (proc_pid_fdinfo(5), `fuse_connection`). */
function connectionsOf(pid: number): readonly string[] {
  const directory = `/proc/${pid}/fdinfo`;
  return list(directory).flatMap(
    fd => /^fuse_connection:\s*(\d+)$/m.exec(read(join(directory, fd)))?.[1] ?? [],
  );
}

function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // the process has ended
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
