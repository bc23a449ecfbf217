import { Document, isScalar, visit } from 'yaml';
import { escapeBeyondAscii, formatJson, isSteering } from '../util/printable.ts';
import { formatLines } from './text.ts';

/** How a result is written: for people, as one document, or as names alone, a line each. */
export const outputFormats = ['text', 'json', 'yaml', 'name'] as const;
export type OutputFormat = (typeof outputFormats)[number];

/** A result in each form that it can have. */
export type Result = {
  /** The document: sizes in bytes, times in RFC 3339. */
  readonly value: unknown;
  readonly text: () => string;
  /** What the result is about: references, target paths. */
  readonly names: readonly string[];
};

export function formatResult({ value, text, names }: Result, format: OutputFormat): string {
  switch (format) {
    case 'text':
      return text();
    case 'json':
      return `${formatJson(value, 2)}\n`;
    case 'yaml':
      return formatYaml(value);
    case 'name':
      return formatLines(names);
  }
}

/** YAML that a terminal can be shown: control characters stand as their number, in double quotes. */
function formatYaml(value: unknown): string {
  // By way of JSON, which leaves out what is undefined.
  const document = new Document(JSON.parse(JSON.stringify(value)), { aliasDuplicateObjects: false });
  visit(document, (_, node) => {
    if (isScalar(node) && typeof node.value === 'string' && isSteering(node.value))
      node.type = 'QUOTE_DOUBLE';
  });
  return escapeBeyondAscii(document.toString({ lineWidth: 0, doubleQuotedMinMultiLineLength: Infinity }));
}

/** Whether a program reads the output, so that nothing else may be written in words of people. */
export function isDocument(format: OutputFormat): boolean {
  return format === 'json' || format === 'yaml';
}

/** Milliseconds since 1970 as RFC 3339 in UTC; undefined for 0, which stands for never. */
export function toTimestamp(time: number): string | undefined {
  return time === 0 ? undefined : new Date(time).toISOString();
}
