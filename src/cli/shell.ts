import type { Readable, Writable } from 'node:stream';
import type { Backend } from '../ports/backend.ts';
import { ArtifactError } from '../util/error.ts';
import type { OutputFormat } from './output-format.ts';
import type { Settings } from './settings.ts';

/** The process around a command; tests provide their own. */
export type Terminal = {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Milliseconds since 1970. */
  now(): number;
  /**
   * From the first call on, SIGINT, SIGTERM and SIGHUP abort this signal; until then they end the process. The same
   * signal again ends the process, unless it is ignored because that would leave something behind.
   */
  interrupted(again: 'end' | 'ignore'): AbortSignal;
};

/** The context of a command. */
export type Shell = {
  readonly backend: Backend;
  readonly settings: Settings;
  readonly terminal: Terminal;
  readonly output: OutputFormat;
  /** Columns that tables are cut to; undefined if they are not cut. */
  readonly columns: number | undefined;
  /** Whether digests are shown in full. */
  readonly whole: boolean;
  readonly signal: AbortSignal;
};

/** Options as commander parses them; each command knows its own. */
export type Options = Readonly<Record<string, unknown>>;

/** The work of a command. Answers its exit code if it is not 0. */
export type Action = (shell: Shell, operands: readonly string[], options: Options) => Promise<number | void>;

/** The program's name. */
export const programName = 'oci-artifact-csi';

/** Prints one line on stderr. */
export function tell(terminal: Terminal, text: string): void {
  terminal.stderr.write(`${programName}: ${text}\n`);
}

/** An operand that commander requires. */
export function operand(operands: readonly string[], index: number): string {
  const found = operands[index];
  if (found === undefined) throw new ArtifactError('internal', `operand ${index + 1} is missing`);
  return found;
}
