import { Document, isScalar, visit } from 'yaml';
import { escapeBeyondAscii, isSteering } from '../util/printable.ts';

/** YAML that is safe on a terminal: control characters are escaped, in double quotes. */
export function formatYaml(value: unknown): string {
  const document = new Document(value, { aliasDuplicateObjects: false });
  visit(document, (_, node) => {
    if (isScalar(node) && typeof node.value === 'string' && isSteering(node.value))
      node.type = 'QUOTE_DOUBLE';
  });
  return escapeBeyondAscii(document.toString({ lineWidth: 0, doubleQuotedMinMultiLineLength: Infinity }));
}
