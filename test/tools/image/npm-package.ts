import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { readTarball } from './tarball.ts';

type Lock = {
  readonly packages: Readonly<Record<string, { readonly version: string; readonly integrity: string }>>;
};

/**
 * Downloads a package at the version of package-lock.json by npm, also one for another architecture, which npm ci leaves
 * out. `into` is an empty directory. Returns its files by their paths in the package.
 *
 * @throws if its checksum is not the one of package-lock.json.
 */
export async function fetchNpmPackage(
  root: string,
  name: string,
  into: string,
): Promise<ReadonlyMap<string, Buffer>> {
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as Lock;
  const locked = lock.packages[`node_modules/${name}`];
  if (locked === undefined) throw new Error(`package-lock.json does not have ${name}`);
  const args = ['pack', `${name}@${locked.version}`, '--prefer-offline', '--pack-destination', into];
  await promisify(execFile)('npm', args, { cwd: root });
  const [file = ''] = await readdir(into);
  const bytes = await readFile(join(into, file));
  const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
  if (integrity !== locked.integrity)
    throw new Error(`${name}@${locked.version} has ${integrity}, package-lock.json says ${locked.integrity}`);
  return await readTarball(bytes);
}
