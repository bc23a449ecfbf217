/** Output formats: text for users, one document, or names, one per line. */
export const outputFormats = ['text', 'json', 'yaml', 'name'] as const;
export type OutputFormat = (typeof outputFormats)[number];

/** Whether the output is for programs, so that no other text may be written to it. */
export function isDocument(format: OutputFormat): boolean {
  return format === 'json' || format === 'yaml';
}
