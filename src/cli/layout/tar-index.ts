import type { FileHandle } from 'node:fs/promises';

const block = 512;
/** Most bytes of an index.json, or of a pax header. */
const most = 4 * 1024 * 1024;

/**
 * Finds index.json in the tar of an image layout by its headers, without reading the rest, so that it can be sent first
 * and names are chosen before gigabytes of blobs are read. A second index.json at its original position changes
 * nothing.
 *
 * @returns the entry with its header; undefined if there is none, or the file is no plain tar.
 */
export async function readIndexMember(file: FileHandle): Promise<Buffer | undefined> {
  /** The size in a pax header for the next entry: the field of the header holds 8 GiB at most. */
  let told: number | undefined;
  for (let at = 0; ; ) {
    const header = await readAt(file, at, block);
    if (header.length < block || !isHeader(header)) return undefined;
    const size = told ?? readNumber(header.subarray(124, 136));
    told = undefined;
    const whole = block + Math.ceil(size / block) * block;
    const type = header[156] === 0 ? '0' : String.fromCharCode(header[156] ?? 0);
    if (type === '0' && isIndex(header)) return size <= most ? await readAt(file, at, whole) : undefined;
    if (type === 'x' && size <= most) told = findSize(await readAt(file, at + block, size));
    at += whole;
  }
}

function isIndex(header: Buffer): boolean {
  const [name] = header.toString('latin1', 0, 100).split('\0', 1);
  const hasPrefix = header.toString('latin1', 257, 263) === 'ustar\0' && header[345] !== 0;
  return !hasPrefix && (name === 'index.json' || name === './index.json');
}

/** Whether the checksum of a header is right: the sum of its bytes, with spaces for the checksum. */
function isHeader(header: Buffer): boolean {
  const sum = header.reduce((all, byte, nth) => all + (nth >= 148 && nth < 156 ? 32 : byte), 0);
  return readNumber(header.subarray(148, 156)) === sum;
}

/** Octal, or base 256 if the first bit is set. NaN for neither. */
function readNumber(field: Buffer): number {
  if (((field[0] ?? 0) & 0x80) !== 0) return field.subarray(1).reduce((all, byte) => all * 256 + byte, 0);
  const digits = /^ *([0-7]+)/.exec(field.toString('latin1'))?.[1];
  return digits === undefined ? Number.NaN : Number.parseInt(digits, 8);
}

function findSize(pax: Buffer): number | undefined {
  const size = /(?:^|\n)\d+ size=(\d{1,15})\n/.exec(pax.toString('latin1'))?.[1];
  return size === undefined ? undefined : Number(size);
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(length), position });
  return buffer.subarray(0, bytesRead);
}
