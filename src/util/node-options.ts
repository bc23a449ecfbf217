import process from 'node:process';

/** Options of Node, as `--name` or `--name=value`, and variables of the environment. */
export type NodeOptions = {
  readonly options: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
};

/**
 * Makes sure that this process runs with these, which Node and the C library read only at their start: if some are
 * missing, the same program takes the place of this process (execve(2)), with its arguments and its process ID. What was
 * set to another value stays. Call it before anything is open.
 */
export function ensureNodeOptions(wanted: NodeOptions): void {
  const { options, variables } = missing(wanted, process.execArgv, process.env);
  if (options.length === 0 && Object.keys(variables).length === 0) return;
  const args = [process.execPath, ...process.execArgv, ...options, ...process.argv.slice(1)];
  process.execve?.(process.execPath, args, { ...process.env, ...variables });
}

/** What of the wanted has no value yet. */
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

/** Node takes an underscore for a hyphen. */
function nameOf(option: string): string {
  return (option.split('=')[0] ?? '').replaceAll('_', '-');
}
