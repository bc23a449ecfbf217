import { join } from 'node:path';
import { ArtifactError } from '../util/error.ts';
import { readIfThere } from './files/absent.ts';
import { writeAside } from './files/atomic-file.ts';
import type { Directory } from './files/directory.ts';

/** Migrates a layout from one version to the next. It must be safe to run again after a crash. */
export type Migration = (stateDir: string) => Promise<void>;

/**
 * Reads the layout's version and runs the missing migrations.
 *
 * @param migrations the n-th makes version n of version n - 1; the first makes a new layout. Their number is the
 *   version of this program.
 * @throws `invalid` for a layout of a newer program, or a version that is not a number.
 */
export async function openFormat(stateDir: Directory, migrations: readonly Migration[]): Promise<void> {
  const path = join(stateDir.path, 'format');
  const version = await verifyNotNewer(stateDir.path, migrations.length);
  for (const [index, migrate] of migrations.entries()) {
    if (index < version) continue;
    await migrate(stateDir.path);
    await writeAside(`${path}.new`, path, `${index + 1}\n`, true);
    await stateDir.sync();
  }
}

/**
 * Checks that this program can read a layout, and changes nothing.
 *
 * @throws `invalid` for a layout of a newer program, or of an older one that is not migrated yet.
 */
export async function verifyFormat(stateDir: string, migrations: number): Promise<void> {
  const version = await verifyNotNewer(stateDir, migrations);
  if (version === 0 || version === migrations) return;
  throw new ArtifactError(
    'invalid',
    `${stateDir} has layout version ${version}, and this program reads ${migrations}: start the daemon on it once, which brings it there`,
  );
}

/** Returns the version of a layout, 0 for a new one. @throws `invalid` for a layout of a newer program. */
export async function verifyNotNewer(stateDir: string, migrations: number): Promise<number> {
  const path = join(stateDir, 'format');
  const version = parseVersion(readIfThere(path), path);
  if (version > migrations) throw tooNew(stateDir, version, migrations);
  return version;
}

function tooNew(stateDir: string, version: number, migrations: number): ArtifactError {
  return new ArtifactError(
    'invalid',
    `${stateDir} has layout version ${version}, and this program knows up to ${migrations}: run a newer one, or give it another --state-dir`,
  );
}

/** A missing or empty file is version 0: a new directory. */
function parseVersion(text: string | undefined, path: string): number {
  if (text === undefined || text === '') return 0;
  if (/^[1-9][0-9]{0,8}\n?$/.test(text)) return Number(text);
  throw new ArtifactError(
    'invalid',
    `${path} contains no version number; if its directory is a state directory of this version, write 1 into it, and otherwise give another --state-dir`,
  );
}
