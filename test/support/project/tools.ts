import { accessSync, constants } from 'node:fs';
import { basename, join } from 'node:path';
import process from 'node:process';
import { groupOf, type Program, programs, toolsDirectory } from '../../tools/table.ts';

/** In CI nothing is skipped: a test that lacks a program fails there. */
export const isCi: boolean = process.env['CI'] !== undefined && process.env['CI'] !== '';

/** Set if figures of tests are printed: then some are measured more often. */
export const verboseVariable = 'OCI_ARTIFACT_TEST_VERBOSE';
export const isVerbose: boolean = process.env[verboseVariable] !== undefined;

/**
 * The path of a program: in .tools/bin if it is built from source, else the first on the PATH or in an sbin directory;
 * undefined if there is none.
 */
export function findTool(program: Program): string | undefined {
  const source = programs[program];
  if (source.from === 'go') return [join(toolsDirectory, basename(source.package))].find(isExecutable);
  const path = (process.env['PATH'] ?? '').split(':').filter(directory => directory !== '');
  return [...path, '/usr/sbin', '/sbin'].map(directory => join(directory, program)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The path of a program. @throws naming it and how to install it. */
export function toolPath(program: Program): string {
  const path = findTool(program);
  if (path !== undefined) return path;
  throw new Error(`${program} is not installed; as root, "npm run tools -- ${groupOf(program)}" installs it`);
}

/** A requirement of a test: a program of test/tools/table.ts, or to run as root. */
export type Need = Program | 'root';

/**
 * Options for a test that needs programs or root: `test('…', needs('root', 'oras'), async () => …)`. Outside CI such a
 * test is skipped, and the reason names what is missing; in CI it runs and fails.
 */
export function needs(...list: readonly Need[]): { skip: string | false } {
  const missing = list.filter(need =>
    need === 'root' ? process.getuid?.() !== 0 : findTool(need) === undefined,
  );
  return { skip: isCi || missing.length === 0 ? false : `needs ${missing.join(' and ')}` };
}
