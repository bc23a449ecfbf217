import { isUtf8 } from 'node:buffer';

/**
 * File names are bytes to Linux and text to JavaScript. Valid UTF-8 becomes its text; every other byte 0xNN becomes the
 * lone surrogate U+DCNN, which UTF-8 cannot contain (Python's surrogateescape, PEP 383). So texts and byte sequences
 * correspond one to one.
 */

/** Converts bytes to text. `encodeName` returns the same bytes. */
export function decodeName(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (isUtf8(buffer)) return buffer.toString();
  let text = '';
  for (let at = 0; at < buffer.length; ) {
    const length = sequenceLength(buffer[at] ?? 0);
    const sequence = buffer.subarray(at, at + length);
    const valid = sequence.length === length && isUtf8(sequence);
    text += valid ? sequence.toString() : String.fromCharCode(0xdc00 + (buffer[at] ?? 0));
    at += valid ? length : 1;
  }
  return text;
}

/**
 * Converts text to bytes. A lone surrogate that stands for no byte, which can only come from JSON, becomes U+FFFD, as
 * everywhere in Node.
 */
export function encodeName(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text);
  const parts: Buffer[] = [];
  for (const character of text) {
    const code = character.charCodeAt(0);
    const byte = character.length === 1 && code >= 0xdc80 && code <= 0xdcff;
    parts.push(byte ? Buffer.of(code - 0xdc00) : Buffer.from(character));
  }
  return Buffer.concat(parts);
}

/** Returns the number of bytes of `encodeName`. */
export function nameLength(text: string): number {
  return text.isWellFormed() ? Buffer.byteLength(text) : encodeName(text).length;
}

/** Whether a text stands for bytes, and is the one text that does. Always true for a result of `decodeName`. */
export function isName(text: string): boolean {
  return text.isWellFormed() || decodeName(encodeName(text)) === text;
}

/**
 * Quotes a name in double quotes, in its own script: characters that could control a terminal, forge a line of a log
 * or reverse its direction are escaped, and bytes that are not UTF-8 are shown as \xNN. The joiners that Persian,
 * Indic scripts and emoji are written with stay after such characters. It is cut after 200 characters.
 */
export function quoteName(text: string): string {
  const shown =
    text.length > 200
      ? `${text.slice(0, text.codePointAt(199) === text.charCodeAt(199) ? 200 : 199)}…`
      : text;
  return `"${shown.replace(unsafe, escapeCharacter)}"`;
}

const unsafe = /["\\\p{Cc}\p{Cs}\p{Zl}\p{Zp}]|(?![\u200c\u200d])\p{Cf}|(?<![^\0-\x7f])[\u200c\u200d]/gu;

function escapeCharacter(character: string): string {
  if (character === '"' || character === '\\') return `\\${character}`;
  const code = character.codePointAt(0) ?? 0;
  if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`;
  return code < 0x80 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
}

/** At most so many characters, with a mark if there were more. */
export function shorten(text: string, longest: number): string {
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
}

/** At most so many bytes of UTF-8, with a mark if there were more. */
export function shortenBytes(text: string, longest: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= longest) return text;
  const mark = '…';
  const kept = bytes.subarray(0, longest - Buffer.byteLength(mark));
  return `${new TextDecoder().decode(kept, { stream: true })}${mark}`; // without the part of a last character
}

/** Returns the length of a UTF-8 sequence by its first byte; 1 for a byte that starts none. */
function sequenceLength(first: number): number {
  if (first >= 0xf0) return 4;
  if (first >= 0xe0) return 3;
  return first >= 0xc0 ? 2 : 1;
}
