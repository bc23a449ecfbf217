import process from 'node:process';

/** Options of Node, as `--name` or `--name=value`, and environment variables. */
export type NodeOptions = {
  readonly options: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
};

/**
 * For the memory of the daemon: a small young generation, and one malloc arena. The second option frees the memory of an
 * ended thread at once, instead of keeping 16 MB for ten seconds after each pull. V8 reads it at the start of the process.
 * The last two delay the slower one of V8's two optimizing compilers: for a layer of 50,000 files it took a fifth of all
 * CPU time and made nothing faster, and a layer of 600,000 files takes as long as before.
 */
export const daemonOptions: NodeOptions = {
  options: [
    '--max-semi-space-size=4',
    '--no-memory-pool-share-memory-on-teardown',
    '--invocation-count-for-turbofan=100000',
    '--invocation-count-for-osr=20000',
  ],
  variables: { MALLOC_ARENA_MAX: '1' },
};

/**
 * Ensures that this process runs with these options, which Node and the C library read only at their start. If some are
 * missing, the same program replaces this process (execve(2)), with its arguments and its process ID. Options with
 * another value are kept. Call it before anything is open.
 */
export function ensureNodeOptions(wanted: NodeOptions): void {
  const { options, variables } = missing(wanted, process.execArgv, process.env);
  if (options.length === 0 && Object.keys(variables).length === 0) return;
  const args = [process.execPath, ...process.execArgv, ...options, ...process.argv.slice(1)];
  process.execve?.(process.execPath, args, { ...process.env, ...variables });
}

/** Returns the options that have no value yet. */
export function missing(
  { options, variables }: NodeOptions,
  execArgv: readonly string[],
  env: NodeJS.ProcessEnv,
): NodeOptions {
  const given = [...execArgv, ...(env['NODE_OPTIONS'] ?? '').split(' ')].map(nameOf);
  return {
    options: options.filter(option => !given.includes(nameOf(option))),
    variables: Object.fromEntries(Object.entries(variables).filter(([name]) => env[name] === undefined)),
  };
}

/** Node treats an underscore as a hyphen. */
function nameOf(option: string): string {
  return (option.split('=')[0] ?? '').replaceAll('_', '-');
}
