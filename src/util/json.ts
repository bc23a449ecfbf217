import { isUtf8 } from 'node:buffer';
import { ArtifactError } from './error.ts';
import { doAtOnce } from './pace.ts';

/**
 * `maxBytes`: default 512 KiB. `maxKeys`: of one object. `maxValues`: of the document. `uniqueKeys`: a duplicate key in
 * an object is refused. `measure` is told the bytes of each object and list that is not empty, and how many others it
 * is in.
 */
export type JsonRules = {
  readonly maxBytes?: number;
  readonly maxKeys?: number;
  readonly maxValues?: number;
  readonly uniqueKeys?: boolean;
  readonly measure?: ((value: unknown, bytes: number, depth: number) => void) | undefined;
};

/** Thrown for a document that has more than the rules allow, and may be JSON. */
export class JsonLimitError extends ArtifactError {
  constructor(why: string) {
    super('invalid', why);
  }
}

/** More than any credential or signature has, and parsed in at most 30 ms. */
const smallBytes = 512 * 1024;

/** Deeper than any document of a registry or a credential: bundles have ten levels. Callers may recurse. */
const maxDepth = 64;
/** One for each 16 bytes of a manifest of 4 MiB: a descriptor has one for at least each 27 bytes. */
const usualValues = 256 * 1024;
/** The maximum of one object. More take long in one step of a caller that lists them. */
const usualKeys = 10_000;

export type JsonObject = Readonly<Record<string, unknown>>;

/** Whether a value is an object with keys, and not a list. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns a field of an object in objects; undefined unless all of them are there. */
export function fieldAt(value: unknown, ...keys: readonly string[]): unknown {
  return keys.reduce<unknown>((at, key) => (isObject(at) ? at[key] : undefined), value);
}

/** Parses a small text at once. @throws as `parseJsonInSteps`. */
export function parseJson(source: Uint8Array | string, rules: JsonRules = {}): unknown {
  return doAtOnce(parseJsonInSteps(source, rules));
}

/**
 * Parses untrusted JSON. It yields after each value, so that its caller can pause: `JSON.parse` cannot, and takes a
 * third of a second for some documents of 4 MiB. The structure is parsed here, within limits; each text and number is
 * parsed by `JSON.parse`. Of two equal keys the last one counts, as there.
 *
 * @throws ArtifactError `invalid` with the reason, line and column, without a quote.
 */
export function* parseJsonInSteps(
  source: Uint8Array | string,
  {
    maxBytes = smallBytes,
    maxKeys = usualKeys,
    maxValues = usualValues,
    uniqueKeys = false,
    measure,
  }: JsonRules,
): Generator<void, unknown> {
  const bytes = typeof source === 'string' ? Buffer.from(source) : toBuffer(source);
  if (bytes.length > maxBytes) throw new JsonLimitError(`it has more than ${maxBytes} bytes`);
  if (!isUtf8(bytes)) throw refusal('it is not JSON: it is not UTF-8');
  const open: Container[] = [];
  let values = 0;
  let at = 0;

  const malformed = (): ArtifactError =>
    refusal(
      at < bytes.length
        ? `it is not JSON: there is a syntax error at ${formatPlace(bytes, at)}`
        : 'it is not JSON: it ends too early',
    );

  function skipSpace(): void {
    while (isSpace(bytes[at])) at++;
  }

  function readLeaf(): unknown {
    const start = at;
    if (bytes[at] === quote && passText()) return bytes.toString('latin1', start + 1, at - 1);
    while (isWord(bytes[at])) at++;
    try {
      return JSON.parse(bytes.toString('utf8', start, at));
    } catch {
      at = start;
      throw malformed();
    }
  }

  /** Returns whether the text has no escapes. */
  function passText(): boolean {
    let isPlain = true;
    for (at++; bytes[at] !== quote; at++) {
      const byte = bytes[at];
      if (byte === undefined) throw malformed();
      if (byte === backslash) at++;
      if (byte === backslash || byte < 0x20 || byte >= 0x80) isPlain = false;
    }
    at++;
    return isPlain;
  }

  function readKey(container: Container): void {
    skipSpace();
    const start = at;
    if (bytes[at] !== quote) throw malformed();
    const key = readLeaf() as string;
    const { fields = {} } = container;
    if (Object.hasOwn(fields, key)) {
      if (uniqueKeys) throw refusal(`line ${lineOf(bytes, start)} has a key for the second time`);
    } else if (++container.keys > maxKeys) {
      throw new JsonLimitError(`an object of it has more than ${maxKeys} keys`);
    }
    skipSpace();
    if (bytes[at] !== colon) throw malformed();
    at++;
    container.key = key;
  }

  for (;;) {
    yield;
    if (++values > maxValues) throw new JsonLimitError(`it has more than ${maxValues} values`);
    skipSpace();
    let value: unknown;
    const container = toContainer(bytes[at], at);
    if (container === undefined) {
      value = readLeaf();
    } else {
      if (open.length === maxDepth) throw refusal(`it is nested more than ${maxDepth} deep`);
      at++;
      skipSpace();
      value = container.value;
      if (bytes[at] === container.end) {
        at++;
      } else {
        open.push(container);
        if (container.fields !== undefined) readKey(container);
        continue;
      }
    }
    for (;;) {
      skipSpace();
      const parent = open.at(-1);
      if (parent === undefined) {
        if (at < bytes.length) throw malformed();
        return value;
      }
      put(parent, value);
      const next = bytes[at];
      if (next === comma) {
        at++;
        if (parent.fields !== undefined) readKey(parent);
        break;
      }
      if (next !== parent.end) throw malformed();
      at++;
      value = parent.value;
      open.pop();
      measure?.(value, at - parent.start, open.length);
    }
  }
}

/** An object or a list that is not complete. `key` is the next key of an object. */
type Container = {
  readonly value: unknown;
  readonly start: number;
  readonly end: number;
  readonly list?: unknown[];
  readonly fields?: Record<string, unknown>;
  key: string;
  keys: number;
};

const [quote, backslash, comma, colon] = [0x22, 0x5c, 0x2c, 0x3a];

function toContainer(first: number | undefined, start: number): Container | undefined {
  if (first === 0x5b) {
    const list: unknown[] = [];
    return { value: list, start, end: 0x5d, list, key: '', keys: 0 };
  }
  if (first !== 0x7b) return undefined;
  const fields: Record<string, unknown> = {};
  return { value: fields, start, end: 0x7d, fields, key: '', keys: 0 };
}

function put({ list, fields, key }: Container, value: unknown): void {
  if (list !== undefined) list.push(value);
  else if (fields === undefined) return;
  // The name of the prototype's setter is an ordinary key.
  else if (key === '__proto__')
    Object.defineProperty(fields, key, { value, writable: true, enumerable: true, configurable: true });
  else fields[key] = value;
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** The characters of numbers, true, false and null. */
function isWord(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    byte === 0x2d ||
    byte === 0x2e ||
    byte === 0x2b ||
    byte === 0x45
  );
}

function lineOf(bytes: Buffer, end: number): number {
  let line = 1;
  for (let at = 0; at < end; at++) if (bytes[at] === 0x0a) line++;
  return line;
}

function toBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

function refusal(why: string): ArtifactError {
  return new ArtifactError('invalid', why);
}

/** Both count from 1; a column is a byte. */
function formatPlace(bytes: Buffer, at: number): string {
  const before = bytes.subarray(0, at).toString('latin1').split('\n');
  return `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`;
}
