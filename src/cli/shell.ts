import type { Readable, Writable } from 'node:stream';
import type { Backend } from '../ports/backend.ts';
import type { Settings } from './settings.ts';
import { ArtifactError } from '../util/error.ts';
import { formatResult, type OutputFormat, type Result } from './output.ts';

/** The process around a command; tests bring their own. */
export type Terminal = {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Milliseconds since 1970. */
  now(): number;
  /**
   * From the first call on, SIGINT, SIGTERM and SIGHUP abort this signal; until then they end the process. The same
   * signal again ends it all the same, unless it is to be ignored because others would be left behind.
   */
  interrupted(again: 'end' | 'ignore'): AbortSignal;
};

/** What a command has at hand. */
export type Shell = {
  readonly backend: Backend;
  readonly settings: Settings;
  readonly terminal: Terminal;
  readonly output: OutputFormat;
  /** Columns of the terminal that tables are cut to; undefined where they are not cut. */
  readonly columns: number | undefined;
  /** Whether digests are shown whole. */
  readonly whole: boolean;
  readonly signal: AbortSignal;
};

/** Options as commander has them; each command knows its own. */
export type Options = Readonly<Record<string, unknown>>;

/** A command's work; answers its exit code when it is not 0. */
export type Action = (shell: Shell, operands: readonly string[], options: Options) => Promise<number | void>;

/** The program's name. */
export const programName = 'oci-artifact-csi';

/** One line that is no result, on stderr. */
export function tell(terminal: Terminal, text: string): void {
  terminal.stderr.write(`${programName}: ${text}\n`);
}

/** The result of a command, on stdout. */
export function print({ terminal, output }: Pick<Shell, 'terminal' | 'output'>, result: Result): void {
  terminal.stdout.write(formatResult(result, output));
}

/** The operand that commander has made sure of. */
export function operand(operands: readonly string[], index: number): string {
  const found = operands[index];
  if (found === undefined) throw new ArtifactError('internal', `operand ${index + 1} is missing`);
  return found;
}
