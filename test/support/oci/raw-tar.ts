/** One entry of a tar, byte by byte, for tars that no ordinary tool writes. Text is latin1: a character is a byte. */
export type RawEntry = {
  readonly name?: string;
  /** `0` file, `1` hard link, `2` symlink, `3` and `4` devices, `5` directory, `6` FIFO, `x` PAX, `L` long name. */
  readonly type?: string;
  readonly body?: string | Buffer;
  /** The size in the header, if it is not the body's. A text is inserted as it is. */
  readonly size?: number | string;
  readonly mode?: string;
  readonly uid?: string | Buffer;
  readonly mtime?: string | Buffer;
  readonly linkname?: string;
  readonly prefix?: string;
  /** `ustar\0` and `00` by default; `ustar  \0` is GNU's, an empty one is the oldest. */
  readonly magic?: string;
  readonly checksum?: string;
};

/** A header and its body, padded. */
export function rawEntry(entry: RawEntry): Buffer {
  const body = toBytes(entry.body ?? '');
  const header = Buffer.alloc(512);
  const put = (value: string | Buffer, at: number): void => void toBytes(value).copy(header, at);
  const size = entry.size ?? body.length;
  put(entry.name ?? 'file', 0);
  put(entry.mode ?? '0000644', 100);
  put(entry.uid ?? '0000000', 108);
  put('0000000', 116);
  put(typeof size === 'string' ? size : size.toString(8).padStart(11, '0'), 124);
  put(entry.mtime ?? '00000000001', 136);
  put('        ', 148);
  put(entry.type ?? '0', 156);
  put(entry.linkname ?? '', 157);
  put(entry.magic ?? 'ustar\x0000', 257);
  put(entry.prefix ?? '', 345);
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(entry.checksum ?? `${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}

/** A PAX header of these records, which may be any bytes. `raw` replaces the records. */
export function paxEntry(
  records: Readonly<Record<string, string | Buffer>>,
  type = 'x',
  raw?: string,
): Buffer {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = Buffer.concat([Buffer.from(` ${key}=`, 'latin1'), toBytes(value), Buffer.from('\n')]);
    let length = rest.length + 1;
    while (String(length).length + rest.length !== length) length++;
    return Buffer.concat([Buffer.from(String(length)), rest]);
  });
  return rawEntry({ name: 'PaxHeader', type, body: raw ?? Buffer.concat(lines) });
}

function toBytes(value: string | Buffer): Buffer {
  return typeof value === 'string' ? Buffer.from(value, 'latin1') : value;
}

/** The two blocks of zeros at the end of a tar. */
export const endOfTar: Buffer = Buffer.alloc(1024);

export function rawTar(...parts: readonly (RawEntry | Buffer)[]): Buffer {
  return Buffer.concat([...parts.map(part => (Buffer.isBuffer(part) ? part : rawEntry(part))), endOfTar]);
}
