import { execFile } from 'node:child_process';
import process from 'node:process';
import { promisify } from 'node:util';
import { toolPath } from '../project/tools.ts';

/** Runs oras in a directory, without credentials of the machine. @throws with its standard error. */
export async function oras(args: readonly string[], cwd: string): Promise<string> {
  const env = { ...process.env, DOCKER_CONFIG: cwd, XDG_CACHE_HOME: cwd };
  const { stdout } = await promisify(execFile)(toolPath('oras'), [...args], { cwd, env });
  return stdout;
}
