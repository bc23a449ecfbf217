import { isUtf8 } from 'node:buffer';

/**
 * Names of files are bytes to Linux and text to JavaScript. Valid UTF-8 becomes the text it is; every other byte
 * 0xNN becomes the lone surrogate U+DCNN, which no UTF-8 holds (Python's surrogateescape, PEP 383). So one text
 * stands for one sequence of bytes and the other way round.
 */

/** Bytes as text. `encodeName` gives the same bytes again, whatever they are. */
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

/** Text as bytes. A lone surrogate that stands for no byte (it can only come from JSON) becomes U+FFFD, as everywhere in Node. */
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

/** How many bytes `encodeName` would give. */
export function nameLength(text: string): number {
  return text.isWellFormed() ? Buffer.byteLength(text) : encodeName(text).length;
}

/** Whether a text stands for bytes at all, and is the one text that does. Always true of what `decodeName` gave. */
export function isName(text: string): boolean {
  return text.isWellFormed() || decodeName(encodeName(text)) === text;
}

/**
 * A name for people, in double quotes: what could steer a terminal, forge a line of a log or reverse its direction is
 * escaped, and bytes that are not UTF-8 are shown as \xNN. Cut after 200 characters.
 */
export function quoteName(text: string): string {
  const shown = text.length > 200 ? `${text.slice(0, 200)}…` : text;
  return `"${shown.replace(unsafe, escapeCharacter)}"`;
}

const unsafe = /["\\\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

function escapeCharacter(character: string): string {
  if (character === '"' || character === '\\') return `\\${character}`;
  const code = character.codePointAt(0) ?? 0;
  if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`;
  return code < 0x80 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
}

/** How many bytes a UTF-8 sequence that starts with this byte has; 1 for a byte that starts none. */
function sequenceLength(first: number): number {
  if (first >= 0xf0) return 4;
  if (first >= 0xe0) return 3;
  return first >= 0xc0 ? 2 : 1;
}
