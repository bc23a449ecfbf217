import { Document, isScalar, visit } from 'yaml';
import { escapeBeyondAscii, formatJson, isSteering } from '../util/printable.ts';
import { formatLines } from './text.ts';

/** Output formats: text for users, one document, or names, one per line. */
export const outputFormats = ['text', 'json', 'yaml', 'name'] as const;
export type OutputFormat = (typeof outputFormats)[number];

/** A result in each output format. */
export type Result = {
  /** The document: sizes in bytes, times in RFC 3339. */
  readonly value: unknown;
  readonly text: () => string;
  /** The names of the result: references or target paths. */
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

/** YAML that is safe on a terminal: control characters are escaped, in double quotes. */
function formatYaml(value: unknown): string {
  // By way of JSON, which omits undefined fields.
  const document = new Document(JSON.parse(JSON.stringify(value)), { aliasDuplicateObjects: false });
  visit(document, (_, node) => {
    if (isScalar(node) && typeof node.value === 'string' && isSteering(node.value))
      node.type = 'QUOTE_DOUBLE';
  });
  return escapeBeyondAscii(document.toString({ lineWidth: 0, doubleQuotedMinMultiLineLength: Infinity }));
}

/** Whether the output is for programs, so that no other text may be written to it. */
export function isDocument(format: OutputFormat): boolean {
  return format === 'json' || format === 'yaml';
}

/** Milliseconds since 1970 as RFC 3339 in UTC; undefined for 0, which means never. */
export function toTimestamp(time: number): string | undefined {
  return time === 0 ? undefined : new Date(time).toISOString();
}
