import { formatJson } from '../util/printable.ts';
import { toDate } from '../util/words.ts';
import type { OutputFormat } from './output-format.ts';
import type { Shell } from './shell.ts';
import { formatLines } from './text.ts';

/** A result in each output format. */
export type Result = {
  /** The document: sizes in bytes, times in RFC 3339. */
  readonly value: unknown;
  readonly text: () => string;
  /** The names of the result: references or target paths. */
  readonly names: readonly string[];
};

/** Prints the result of a command on stdout. */
export async function print(
  { terminal, output }: Pick<Shell, 'terminal' | 'output'>,
  result: Result,
): Promise<void> {
  terminal.stdout.write(await formatResult(result, output));
}

async function formatResult({ value, text, names }: Result, format: OutputFormat): Promise<string> {
  switch (format) {
    case 'text':
      return text();
    case 'json':
      return `${formatJson(toDocument(value), 2)}\n`;
    case 'yaml':
      return (await import('./yaml-document.ts')).formatYaml(toDocument(value));
    case 'name':
      return formatLines(names);
  }
}

/** Without the fields that have no value: those that are undefined, and maps without a key. */
function toDocument(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (_, field: unknown) => (isEmptyMap(field) ? undefined : field)));
}

function isEmptyMap(field: unknown): boolean {
  const isMap = typeof field === 'object' && field !== null && !Array.isArray(field);
  return isMap && Object.values(field).every(entry => entry === undefined);
}

/** Milliseconds since 1970 as RFC 3339 in UTC; undefined for 0, which means never. */
export function toTimestamp(time: number): string | undefined {
  return time === 0 ? undefined : toDate(time).toISOString();
}
