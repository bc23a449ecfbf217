import { cancelled } from '../http/connection-error.ts';
import { formatRequest, type LeastRate, maxHeadBytes } from '../http/request.ts';
import type { Tls } from '../http/tls.ts';
import { openSocket, type PlainRequest } from './connection.ts';

/** A request that was answered plainly. */
export type Sample = Omit<PlainRequest, 'method'>;
/** `path`: with its query. `size`: the bytes that must come. */
export type SeriesTarget = { readonly path: string; readonly size: number };
/** `ms`: from the request to the last byte. */
export type Arrival = { readonly bytes: Buffer; readonly ms: number };

/**
 * A connection that asks for one small body after the other, by requests that differ in their path alone. It does
 * nothing more: no pool, no promise for each, and no answer but a 200 of the expected length.
 */
export type Series = Disposable & {
  /** Whether it can be asked again. */
  isOpen(): boolean;
  /**
   * Returns what came, in the order of the targets: all, or fewer if an answer was another one, if the connection
   * ended, or if nothing came for too long. The bytes are not verified.
   *
   * @throws `cancelled`.
   */
  get(targets: readonly SeriesTarget[], signal: AbortSignal): Promise<readonly Arrival[]>;
};

export type SeriesSettings = {
  readonly tls: Tls;
  /** Milliseconds that the server may send nothing. */
  readonly stallMs: number;
  readonly leastRate: LeastRate;
  /** The read buffer, shared by all connections: everything in it is consumed at once. */
  readonly buffer: Buffer;
};

type Turn = {
  readonly targets: readonly SeriesTarget[];
  readonly arrived: Arrival[];
  readonly end: () => void;
  askedAt: number;
};

export function openSeries(sample: Sample, { tls, stallMs, leastRate, buffer }: SeriesSettings): Series {
  const rest = formatRequest('GET', sample.url, sample.headers).replace(/^GET \S+/, '');
  let turn: Turn | undefined;
  /** The bytes of an incomplete head. */
  let start: Buffer | undefined;
  let body: Buffer | undefined;
  let filled = 0;
  let lasts = true;

  const socket = openSocket(sample, tls, { buffer, callback: read });
  socket.setTimeout(sample.connectMs, close);
  socket.once(sample.url.protocol === 'https:' ? 'secureConnect' : 'connect', () =>
    socket.setTimeout(stallMs),
  );
  socket.on('error', close);
  socket.on('close', close);

  function close(): void {
    socket.destroy();
    finish();
  }

  function finish(): void {
    const ended = turn;
    turn = undefined;
    ended?.end();
  }

  function ask(current: Turn, { path }: SeriesTarget): void {
    current.askedAt = performance.now();
    socket.write(`GET ${path}${rest}`);
  }

  /** Answers whether to go on reading. */
  function read(count: number): boolean {
    const came = buffer.subarray(0, count);
    const bytes = start === undefined ? came : Buffer.concat([start, came]);
    start = undefined;
    if (turn === undefined || !take(turn, bytes)) close();
    return !socket.destroyed;
  }

  /** Answers whether the connection is still of use. */
  function take(current: Turn, bytes: Buffer): boolean {
    const { targets, arrived } = current;
    let at = 0;
    if (body === undefined) {
      const end = bytes.indexOf('\r\n\r\n');
      if (end < 0) {
        start = Buffer.from(bytes);
        return bytes.length < maxHeadBytes;
      }
      const head = bytes.toString('latin1', 0, end + 2);
      const size = targets[arrived.length]?.size ?? 0;
      if (!isPlain(head, size)) return false;
      lasts = !closes.test(head);
      body = Buffer.allocUnsafe(size);
      filled = 0;
      at = end + 4;
    }
    const part = bytes.copy(body, filled, at);
    filled += part;
    if (filled < body.length) return true;
    arrived.push({ bytes: body, ms: performance.now() - current.askedAt });
    body = undefined;
    // Unasked bytes could be the start of anything.
    if (!lasts || at + part < bytes.length) return false;
    const next = targets[arrived.length];
    if (next === undefined) finish();
    else ask(current, next);
    return true;
  }

  return {
    isOpen: () => !socket.destroyed,
    get(targets, signal) {
      const { promise, resolve, reject } = Promise.withResolvers<readonly Arrival[]>();
      const arrived: Arrival[] = [];
      const abort = (): void => {
        reject(cancelled(signal));
        close();
      };
      let before = 0;
      const look = (): void => {
        if (arrived.length === before) close();
        before = arrived.length;
      };
      // One body after the other may be small and slow to come, but not each of them.
      const watch = leastRate.bytesPerSecond === 0 ? undefined : setInterval(look, leastRate.overMs).unref();
      const end = (): void => {
        clearInterval(watch);
        signal.removeEventListener('abort', abort);
        resolve(arrived);
      };
      const current = { targets, arrived, end, askedAt: 0 };
      turn = current;
      signal.addEventListener('abort', abort);
      const [first] = targets;
      if (signal.aborted) abort();
      else if (first === undefined || socket.destroyed) finish();
      else ask(current, first);
      return promise;
    },
    [Symbol.dispose]: close,
  };
}

const plainLength = /^HTTP\/1\.1 200 [^]*\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r\n/i;
const odd = /\r\n(?:transfer|content)-encoding:/i;
const closes = /\r\nconnection:[^\r]*close/i;

/** The digest shows whether the bytes are right, so this need not be strict. */
function isPlain(head: string, size: number): boolean {
  return Number(plainLength.exec(head)?.[1]) === size && !odd.test(head);
}
