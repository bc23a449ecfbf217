const simple: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
};

const escape = /\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3})|([^]))/g;

/**
 * The text of a quoted string of Go, or of one in slashes or bars. Undefined for an escape that Go does not know; of
 * the quotes, only the own one is escaped.
 */
export function unquote(quoted: string): string | undefined {
  const quote = quoted.charAt(0);
  let isValid = true;
  const text = quoted
    .slice(1, -1)
    .replace(escape, (_, x?: string, u?: string, long?: string, octal?: string, one?: string) => {
      const hex = x ?? u ?? long;
      const code = hex === undefined ? Number.parseInt(octal ?? '', 8) : Number.parseInt(hex, 16);
      if (code <= 0x10ffff) return String.fromCodePoint(code);
      const plain = one === quote ? quote : simple[one ?? ''];
      isValid &&= plain !== undefined;
      return plain ?? '';
    });
  return isValid ? text : undefined;
}
