import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { toolPath } from '../../support/project/tools.ts';
import type { ReleaseOptions } from './options.ts';

/** What a registry gets: content of an OCI layout under some tags, signatures, and attestations. */

/** What has a digest in an OCI layout, and the repository that it goes to. */
export type Publication = { readonly layout: string; readonly digest: string; readonly repository: string };

/** A frozen tag never moves. */
export type Tags = { readonly frozen?: string; readonly moving: readonly string[] };

/** Pushes it with all that it refers to. @throws if the frozen tag is there with another digest. */
export async function push(
  { layout, digest, repository }: Publication,
  { frozen, moving }: Tags,
  { isPlainHttp }: ReleaseOptions,
): Promise<void> {
  const there = frozen === undefined ? undefined : await resolve(`${repository}:${frozen}`, isPlainHttp);
  if (there !== undefined && there !== digest)
    throw new Error(
      `${repository}:${frozen} is there as ${there}, and this release is ${digest}: the tag of a version never moves; release another version, or give --refresh to move only the tag that names the base`,
    );
  const names = frozen === undefined ? moving : [frozen, ...moving];
  const plain = isPlainHttp ? ['--to-plain-http'] : [];
  const from = ['--from-oci-layout', `${layout}@${digest}`];
  await oras(['copy', ...plain, ...from, `${repository}:${names.join(',')}`]);
}

/** Signs `repository@digest` and everything that it refers to, by each key. */
export function sign(subject: string, options: ReleaseOptions): void {
  for (const by of signers(options)) cosign(['sign', '--recursive', ...by, subject]);
}

/** Attaches a statement about `repository@digest`, signed by each key. */
export function attest(
  subject: string,
  { type, file }: { readonly type: string; readonly file: string },
  options: ReleaseOptions,
): void {
  for (const by of signers(options)) cosign(['attest', '--type', type, '--predicate', file, ...by, subject]);
}

function signers({ keys, isPlainHttp, cosign: more }: ReleaseOptions): readonly (readonly string[])[] {
  const common = ['--yes', ...(isPlainHttp ? ['--allow-http-registry'] : []), ...more];
  return keys.length === 0 ? [common] : keys.map(key => ['--key', key, ...common]);
}

/** The digest of a reference; undefined if there is none. */
async function resolve(reference: string, isPlainHttp: boolean): Promise<string | undefined> {
  try {
    return (await oras(['resolve', ...(isPlainHttp ? ['--plain-http'] : []), reference])).trim();
  } catch (error) {
    if (/not found/i.test(String((error as { stderr?: string }).stderr))) return undefined;
    throw error;
  }
}

async function oras(args: readonly string[]): Promise<string> {
  return (await promisify(execFile)(toolPath('oras'), [...args])).stdout;
}

/** It may ask for the password of a key. */
function cosign(args: readonly string[]): void {
  const { status } = spawnSync(toolPath('cosign'), [...args], { stdio: ['inherit', 2, 2] });
  if (status !== 0) throw new Error(`cosign ${args[0]} failed`);
}
