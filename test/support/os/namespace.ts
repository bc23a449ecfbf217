import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';

/** A mount namespace, held open by a process. It and its mounts end when it is disposed, or when the test dies. */
export type MountNamespace = AsyncDisposable & {
  readonly pid: number;
  /** Runs a program inside; returns its output. @throws if it fails. */
  readonly run: (program: string, ...args: string[]) => string;
  /** Runs a script (an ES module) in Node inside; returns its output. @throws if it fails. */
  readonly script: (text: string) => string;
};

/**
 * `private`: mounts are the namespace's own. `shared`: those below shared mounts of `parent` appear on both sides, as
 * in a container whose volume has mountPropagation Bidirectional.
 */
export async function openNamespace(
  propagation: 'private' | 'shared',
  parent?: MountNamespace,
): Promise<MountNamespace> {
  const enter = parent === undefined ? [] : ['nsenter', '--target', String(parent.pid), '--mount'];
  const how = propagation === 'shared' ? 'unchanged' : 'private';
  const [program, ...args] = [
    ...enter,
    'unshare',
    '--mount',
    '--propagation',
    how,
    'sh',
    '-c',
    'echo in; exec cat',
  ];
  const holder = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] }); // cat ends with its standard input
  const ended = once(holder, 'exit');
  await once(holder.stdout, 'data', { signal: AbortSignal.timeout(10_000) });
  const pid = holder.pid ?? 0;

  function run(command: string, ...rest: string[]): string {
    const inside = ['--target', String(pid), '--mount', command, ...rest];
    const { status, stdout, stderr } = spawnSync('nsenter', inside, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${command} ${rest.join(' ')}: ${stderr}`);
    return stdout;
  }

  return {
    pid,
    run,
    script: text => run(process.execPath, '--input-type=module', '--eval', text),
    [Symbol.asyncDispose]: async () => {
      holder.stdin.end();
      await ended;
    },
  };
}
