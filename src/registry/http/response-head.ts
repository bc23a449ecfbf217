/** The maximum bytes of a response head. */
export const maxHeadBytes: number = 16 * 1024;

/**
 * The parsed start of a response. `plain`: its body is the `contentLength` bytes after `headBytes`, and if it `lasts`
 * the connection can be reused. `other`: anything else, valid or not, which a full HTTP client must handle.
 */
export type ResponseStart =
  | { readonly kind: 'incomplete' }
  | {
      readonly kind: 'plain';
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly headBytes: number;
      readonly contentLength: number;
      readonly lasts: boolean;
    }
  | { readonly kind: 'other' };

/** Far above any server's. Each field takes more memory than its bytes. */
const maxFields = 128;
const incomplete: ResponseStart = { kind: 'incomplete' };
const other: ResponseStart = { kind: 'other' };
const visible = String.raw`[\t\x20-\x7e\x80-\xff]*`;
const fieldText = String.raw`[\w!#$%&'*+.^\x60|~-]+:${visible}`;
const field = new RegExp(`^${fieldText}$`);
/** A complete head without its last line end: the status line `HTTP/1.x 200 …`, then fields. */
const wholeHead = new RegExp(String.raw`^HTTP/1\.[01] [2-5]\d\d(?: ${visible})?(?:\r\n${fieldText})*$`);

/**
 * Parses a response head strictly (RFC 9112): no line folding, no bare CR or LF, at most 128 fields, one Content-Length
 * of digits, no Transfer-Encoding, no 1xx. Header names are in lower case, repeated ones joined with a comma.
 */
export function parseResponseStart(bytes: Uint8Array): ResponseStart {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, maxHeadBytes));
  const end = buffer.indexOf('\r\n\r\n');
  if (end < 0) return bytes.length < maxHeadBytes ? incomplete : other;
  const head = buffer.toString('latin1', 0, end);
  if (!wholeHead.test(head)) return other;
  const [first = '', ...lines] = head.split('\r\n');
  if (lines.length > maxFields) return other;
  const headers: Record<string, string> = Object.create(null);
  for (const line of lines) {
    const colon = line.indexOf(':');
    const key = line.slice(0, colon).toLowerCase();
    const value = trimBlanks(line.slice(colon + 1));
    headers[key] = key in headers ? `${headers[key]}, ${value}` : value;
  }
  const length = headers['content-length'];
  if (length === undefined || !/^\d{1,15}$/.test(length) || 'transfer-encoding' in headers) return other;
  return {
    kind: 'plain',
    status: Number(first.slice(9, 12)),
    headers,
    headBytes: end + 4,
    contentLength: Number(length),
    lasts: first[7] === '1' && !(headers['connection'] ?? '').toLowerCase().includes('close'),
  };
}

/** Removes surrounding blanks: `trim` removes more, and a regular expression could take quadratic time. */
function trimBlanks(text: string): string {
  let [from, to] = [0, text.length];
  while (from < to && isBlank(text[from])) from++;
  while (from < to && isBlank(text[to - 1])) to--;
  return text.slice(from, to);
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t';
}

/** Formats a GET on a connection that may be reused. @throws Error if a header cannot be sent unchanged. */
export function formatGet(url: URL, headers: Readonly<Record<string, string>>): string {
  const lines = [`GET ${url.pathname}${url.search} HTTP/1.1`, `host: ${url.host}`];
  for (const [name, value] of Object.entries(headers)) {
    if (!field.test(`${name}: ${value}`))
      throw new Error(`the header ${JSON.stringify(name)} cannot be sent`);
    lines.push(`${name}: ${value}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}
