import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { invalidValue } from '../util/error.ts';
import { parseLabels } from '../util/label.ts';
import { parseSize } from '../util/size.ts';
import { verifySocketPath } from '../util/socket-path.ts';

/** Where to listen. `host` undefined: every address. */
export type ListenAddress = { readonly host: string | undefined; readonly port: number };

/**
 * `unix:///absolute/path` as that path. @throws ArtifactError `invalid`, also if the path is too long for the kernel.
 */
export function parseEndpoint(text: string): string {
  const path = text.startsWith('unix:///') ? text.slice('unix://'.length) : undefined;
  if (path === undefined || path.endsWith('/'))
    return refuse(text, 'endpoint', 'a unix socket, such as unix:///csi/csi.sock');
  verifySocketPath(path);
  return path;
}

/** A name as GetPluginInfo may answer it (CSI 1.12): 63 characters at most, letters and digits at both ends. */
export function parseDriverName(text: string): string {
  if (/^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/i.test(text)) return text;
  return refuse(
    text,
    'driver name',
    '1 to 63 letters, digits, dots and dashes, with a letter or digit at both ends',
  );
}

/** node_id of NodeGetInfo (CSI 1.12): 256 bytes at most. */
export function parseNodeId(text: string): string {
  if (text !== '' && Buffer.byteLength(text) <= 256) return text;
  return refuse(text, 'node name', '1 to 256 bytes');
}

/** `:9809`, `127.0.0.1:0`, `[::1]:9809`, `localhost:80`. */
export function parseAddress(text: string): ListenAddress {
  const { bracketed, name, port } = /^(?:\[(?<bracketed>[^\]]*)\]|(?<name>[^:[\]]*)):(?<port>\d{1,5})$/.exec(
    text,
  )?.groups ?? { port: '' };
  const right = port !== '' && Number(port) <= 65535 && (bracketed === undefined || isIP(bracketed) === 6);
  if (!right) return refuse(text, 'address', '[HOST]:PORT, such as :9809, 127.0.0.1:9809 or [::1]:9809');
  return { host: (bracketed ?? name) || undefined, port: Number(port) };
}

/** `127.0.0.1:9810`, `localhost:0`, `[::1]:9810`: what only processes of this host can reach. */
export function parseLoopback(text: string): ListenAddress {
  const address = parseAddress(text);
  const isLoopback = /^(?:localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::1)$/i.test(address.host ?? '');
  return isLoopback ? address : refuse(text, 'address', 'on loopback, such as 127.0.0.1:9810 or [::1]:9810');
}

/** A path of a file or directory, made absolute. */
export function parsePath(text: string): string {
  return text === '' ? refuse(text, 'path', 'a path that is not empty') : resolve(text);
}

/** As `parsePath`, of a socket. @throws ArtifactError `invalid`, also if the path is too long for the kernel. */
export function parseSocketPath(text: string): string {
  const path = parsePath(text);
  verifySocketPath(path);
  return path;
}

export function parseBoolean(text: string): boolean {
  if (text === 'true' || text === '1') return true;
  if (text === 'false' || text === '0') return false;
  return refuse(text, 'value', 'true or false');
}

/** A whole number of at least 1. */
export function parseCount(text: string): number {
  const count = /^\d+$/.test(text) ? Number(text) : 0;
  if (count >= 1 && Number.isSafeInteger(count)) return count;
  return refuse(text, 'number', 'a whole number of at least 1');
}

/** 1 to 100; `75` or `75%`. */
export function parsePercent(text: string): number {
  const [, digits] = /^(\d{1,3}(?:\.\d+)?)%?$/.exec(text) ?? [];
  const percent = Number(digits ?? 0);
  if (percent >= 1 && percent <= 100) return percent;
  return refuse(text, 'percentage', '1 to 100');
}

export function parseText(text: string): string {
  return text;
}

export function oneOf<const T extends string>(...words: readonly T[]): (text: string) => T {
  return text =>
    words.find(word => word === text) ??
    refuse(text, 'value', words.length === 1 ? `${words[0]}` : `one of ${words.join(', ')}`);
}

/** Bytes per second: `16KiB/s`, `16KiB` or `16384`; `0` is none. */
export function parseRate(text: string): number {
  try {
    return parseSize(text.replace(/\/s$/, ''));
  } catch {
    return refuse(text, 'rate', 'bytes (not bits) per second, such as 16KiB/s, 1M/s or 16384, or 0');
  }
}

/** `api`, or `topology.kubernetes.io/zone=eu-1a,rack=r7`. */
export function parseNodeLabels(text: string): 'api' | Readonly<Record<string, string>> {
  return text === 'api' ? text : parseLabels(text);
}

/** The empty text is undefined. */
export function optional<T>(parse: (text: string) => T): (text: string) => T | undefined {
  return text => (text === '' ? undefined : parse(text));
}

function refuse(text: string, what: string, right: string): never {
  throw invalidValue(what, text, `must be ${right}`);
}
