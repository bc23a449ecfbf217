import { decodeName } from '../oci/name.ts';

/** PAX records by key: values are bytes, as xattrs and names need not be UTF-8 (POSIX pax, "Extended Header"). */
export type PaxRecords = ReadonlyMap<string, Buffer>;

export const blockSize = 512;

/** How many bytes of a tar a body of this size takes, padding included. */
export function paddedSize(size: number): number {
  return Math.ceil(size / blockSize) * blockSize;
}

export function isZero(bytes: Buffer): boolean {
  return bytes.every(byte => byte === 0);
}

/**
 * The headers of one entry as they are in the tar: any of PAX and GNU long names, then the entry's own. tar-stream has
 * checked their sums and decoded what it needs, but as UTF-8, which loses bytes; here are the PAX records as bytes
 * and the type flag. Stricter than tar-stream, so that both always read the same.
 *
 * @throws Error saying what is malformed.
 */
export function parseHeaders(raw: Buffer): { readonly typeflag: string; readonly pax: PaxRecords } {
  let pax: PaxRecords = new Map();
  let at = 0;
  while (at < raw.length - blockSize) {
    const typeflag = typeflagAt(raw, at);
    const size = parseSize(raw.subarray(at + 124, at + 136));
    const body = raw.subarray(at + blockSize, at + blockSize + size);
    if (typeflag === 'x') pax = parseRecords(body);
    else if (typeflag === 'g') checkGlobal(parseRecords(body));
    else if (!'LKN'.includes(typeflag)) throw new Error('headers that do not fit together');
    at += blockSize + paddedSize(size);
  }
  if (at !== raw.length - blockSize) throw new Error('headers that do not fit together');
  return { typeflag: typeflagAt(raw, at), pax };
}

function typeflagAt(raw: Buffer, at: number): string {
  return raw.toString('latin1', at + 156, at + 157);
}

function parseSize(field: Buffer): number {
  const text = field
    .toString('latin1')
    .replace(/[ \0]+$/, '')
    .trimStart();
  const size = Number.parseInt(text, 8);
  if (/^[0-7]+$/.test(text) && size > 0) return size;
  throw new Error('an extended header of no size');
}

/** Records are `<length> <key>=<value>\n`; the length counts the whole record. */
function parseRecords(body: Buffer): PaxRecords {
  const records = new Map<string, Buffer>();
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at);
    const digits = space > at && space - at < 10 ? body.toString('latin1', at, space) : '';
    const next = at + Number(digits);
    const equals = body.indexOf(0x3d, space);
    const fits = next <= body.length && equals > space + 1 && equals < next - 1 && body[next - 1] === 0x0a;
    if (!/^[1-9]\d*$/.test(digits) || !fits) throw new Error('a PAX header of no meaning');
    records.set(decodeName(body.subarray(space + 1, equals)), body.subarray(equals + 1, next - 1));
    at = next;
  }
  return records;
}

/** A global header may say what git's says; one that names or measures files is for no tar that is an archive of files. */
function checkGlobal(records: PaxRecords): void {
  for (const key of records.keys()) {
    if (['path', 'linkpath', 'size'].includes(key) || key.startsWith('GNU.sparse.')) {
      throw new Error(`a global PAX header with ${key}`);
    }
  }
}
