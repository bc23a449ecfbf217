import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { toolsDirectory } from '../../tools/table.ts';

/**
 * A machine inside this one: processes, mounts, network, host name and cgroups of its own, with a root directory of its
 * own. Disposing it is a power cut: every process and mount ends at once. The same happens when the test dies.
 */
export type Machine = AsyncDisposable & {
  /** The directory of its cgroups, as this process sees it. */
  readonly cgroup: string;
  /** Runs a program and returns its output. @throws with its standard error if it fails. */
  run(program: string, args: readonly string[], input?: string): Promise<string>;
  /** Starts a program in the background. It writes to /var/log/<name>.log of the machine. */
  start(name: string, program: string, args: readonly string[]): Promise<Service>;
};

/** A program in the background. It ends with its machine at the latest. */
export type Service = {
  readonly alive: () => boolean;
  /** Sends a signal, and waits for the end. */
  readonly stop: (signal?: 'SIGTERM' | 'SIGKILL') => Promise<void>;
};

/** The time that a program which `run` runs may take, however slow the machine is. */
const limitMs = 180_000;

/** Where cgroup v2 is mounted: alone, or beside the hierarchies of version 1. */
export function cgroupRoot(): string {
  const line = readFileSync('/proc/mounts', 'utf8').match(/^\S+ (?<path>\S+) cgroup2 /m);
  if (line?.groups?.['path'] === undefined) throw new Error('cgroup v2 is not mounted');
  return line.groups['path'];
}

/**
 * Moves itself to a cgroup of its own, and starts the first process of the new namespaces, which is bash because it
 * reaps orphans. That process ends with its standard input; the cgroups are removed after it.
 */
const holder = `
mkdir "$1"; echo $$ > "$1/cgroup.procs"
unshare --mount --pid --net --uts --cgroup --fork bash -c 'read -r pid _ < /proc/self/stat; echo $pid; while read -r _; do :; done'
echo $$ > "$1/../cgroup.procs"
for _ in 1 2 3 4 5 6 7 8 9; do
  find "$1" -depth -type d -exec rmdir {} + 2>/dev/null
  [ -d "$1" ] || exit 0
  sleep 0.2 # the last of its processes are ending
done
`;

/** Starts a machine with a root directory, in which `boot`, a script of sh, makes the mounts and the network. */
export async function openMachine(root: string, boot: string): Promise<Machine> {
  const cgroup = join(cgroupRoot(), `oci-artifact-csi-${process.pid}-${Date.now()}`);
  // Detached: a signal to the tests as a group must not end it before it has cleaned up.
  const outer = spawn('sh', ['-c', holder, 'sh', cgroup], { detached: true });
  outer.stderr.resume(); // unshare complains when the machine is cut off
  const ended = once(outer, 'close');
  const [line] = (await once(outer.stdout, 'data', { signal: AbortSignal.timeout(10_000) })) as [Buffer];
  const pid = Number(line.toString());
  const enter = ['--target', String(pid), '--mount', '--pid', '--net', '--uts', '--cgroup', '--'];
  const env = {
    PATH: `${toolsDirectory}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    HOME: '/root',
    TMPDIR: process.env['TMPDIR'], // by which the run of tests finds what outlives it
    KUBECONFIG: '/etc/kubernetes/admin.kubeconfig',
  };

  async function run(program: string, args: readonly string[], input = ''): Promise<string> {
    const child = spawn('nsenter', [...enter, program, ...args], { env, timeout: limitMs });
    return await outputOf(child, `${program} ${args.join(' ')}`, input);
  }

  async function start(name: string, program: string, args: readonly string[]): Promise<Service> {
    const log = openSync(join(root, 'var/log', `${name}.log`), 'a');
    await run('rm', ['-f', `/run/${name}.pid`]);
    const script = `echo $$ > /sys/fs/cgroup/cgroup.procs; echo $$ > /run/${name}.pid; exec "$@"`;
    const child = spawn('nsenter', [...enter, 'sh', '-c', script, 'sh', program, ...args], {
      env,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    const closed = once(child, 'close');
    await run('sh', ['-c', `until [ -s /run/${name}.pid ]; do sleep 0.01; done`]);
    return {
      alive: () => child.exitCode === null && child.signalCode === null,
      async stop(signal = 'SIGTERM') {
        await run('sh', ['-c', `kill -${signal.slice(3)} "$(cat /run/${name}.pid)"`]);
        await closed;
      },
    };
  }

  const machine: Machine = {
    cgroup,
    run,
    start,
    async [Symbol.asyncDispose]() {
      if (outer.exitCode === null) process.kill(pid, 'SIGKILL');
      outer.stdin.destroy();
      await ended;
    },
  };
  try {
    await run('sh', ['-euc', boot]);
  } catch (error) {
    await machine[Symbol.asyncDispose]();
    throw error;
  }
  return machine;
}

async function outputOf(
  child: ChildProcessByStdio<Writable, Readable, Readable>,
  what: string,
  input: string,
): Promise<string> {
  child.stdin.on('error', () => {}); // a program need not read its input
  child.stdin.end(input);
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  if (child.exitCode !== 0) throw new Error(`${what}: ${stderr.trim() || child.signalCode || stdout.trim()}`);
  return stdout;
}
