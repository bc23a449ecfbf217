import { spawnSync } from 'node:child_process';

/** Runs a program as whoever else works on a node would; answers what it wrote. @throws if it fails. */
export function runProgram(program: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr}`);
  return stdout;
}
