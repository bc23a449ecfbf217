import { connect, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { ArtifactError } from '../../util/error.ts';
import { lookupWithin } from '../http/address-fence.ts';
import type { Head, HttpRequest, LeastRate } from '../http/request.ts';
import { formatGet, parseResponseStart } from '../http/response-head.ts';
import { watchRate } from '../http/least-rate.ts';
import { cancelled, stall, toConnectionError } from '../http/connection-error.ts';
import type { Tls } from '../http/tls.ts';

/**
 * What became of a GET. `other`: the answer is not plain, nothing of it was accepted, and the wire is closed. `gone`:
 * the wire ended before anything came.
 */
export type Outcome =
  | { readonly kind: 'answered'; readonly head: Head }
  | { readonly kind: 'other' }
  | { readonly kind: 'gone'; readonly failure: ArtifactError };

/** A Receiver. A promise, which is never rejected, says that no more should come until then; what does is taken, too. */
export type Taker = (chunk: Uint8Array) => Promise<void> | void;
export type Choose = (head: Head) => Taker;

/** Of a request what it takes to send a GET. */
export type PlainRequest = Pick<HttpRequest, 'url' | 'headers' | 'trust' | 'connectMs' | 'fence'>;

/** A connection to one server (HTTP/1.1) that is asked one GET after the other, each time when it is free. */
export type Connection = {
  /** Whether it may be asked again. */
  free(): boolean;
  /** @throws as Send, where something came or the server is silent for too long. */
  get(request: PlainRequest, choose: Choose, signal: AbortSignal): Promise<Outcome>;
  close(): void;
};

export type ConnectionSettings = {
  readonly tls: Tls;
  /** Milliseconds that the server may send nothing. */
  readonly stallMs: number;
  readonly leastRate: LeastRate;
  /** What is read into, by one wire after the other: all that is in it is taken at once. */
  readonly buffer: Buffer;
  /** Called once, when it has ended. */
  readonly onEnd: () => void;
};

/** A free wire is closed before its server does so, which for the hastiest common ones is after 5 s. */
const freeMs = 4_000;

type Turn = {
  readonly url: URL;
  readonly choose: Choose;
  readonly signal: AbortSignal;
  readonly abort: () => void;
  readonly watch: Disposable;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (thrown: unknown) => void;
  answer?: { readonly head: Head; readonly take: Taker; readonly lasts: boolean; left: number };
};

export function openConnection(
  server: PlainRequest,
  { tls, stallMs, leastRate, buffer, onEnd }: ConnectionSettings,
): Connection {
  let turn: Turn | undefined;
  /** What came of a head that is not complete. */
  let start = Buffer.of();
  let connected = false;

  /** A wire that lives on is free afterwards. */
  function end(settle: (ending: Turn) => void): void {
    const ending = turn;
    if (ending === undefined) return;
    turn = undefined;
    start = Buffer.of();
    ending.signal.removeEventListener('abort', ending.abort);
    ending.watch[Symbol.dispose]();
    if (!socket.destroyed) {
      socket.setTimeout(freeMs);
      socket.resume(); // under TLS the end may come while it waits
      socket.unref();
    }
    settle(ending);
  }

  /** Hands over what came of a body, and reads on when there is room for more. */
  function hand(answer: NonNullable<Turn['answer']>, bytes: Buffer): void {
    const piece = bytes.subarray(0, answer.left);
    answer.left -= piece.length;
    const room = piece.length > 0 ? answer.take(piece) : undefined;
    if (answer.left > 0) {
      if (room !== undefined) wait(room);
      return;
    }
    // What nobody asked for may be the start of anything.
    if (!answer.lasts || piece.length < bytes.length) socket.destroy();
    end(({ resolve }) => resolve({ kind: 'answered', head: answer.head }));
  }

  function wait(room: Promise<void>): void {
    const waiting = turn;
    socket.pause();
    socket.setTimeout(0); // it is not the server that is silent
    const goOn = (): void => {
      if (turn !== waiting) return;
      socket.setTimeout(stallMs);
      socket.resume();
    };
    void room.then(goOn);
  }

  /** Takes `count` bytes that are in the buffer. False stops the reading. */
  function read(count: number): boolean {
    const bytes = buffer.subarray(0, count);
    try {
      if (turn === undefined) socket.destroy();
      else if (turn.answer === undefined) begin(turn, bytes);
      else hand(turn.answer, bytes);
    } catch (thrown) {
      socket.destroy();
      end(({ reject }) => reject(thrown));
    }
    return !socket.destroyed && !socket.isPaused();
  }

  /** The first bytes of an answer. */
  function begin(current: Turn, bytes: Buffer): void {
    start = Buffer.concat([start, bytes]);
    const parsed = parseResponseStart(start);
    if (parsed.kind === 'incomplete') return;
    if (parsed.kind === 'other') {
      socket.destroy();
      return end(({ resolve }) => resolve(parsed));
    }
    const { headBytes, contentLength: left, lasts } = parsed;
    const rest = start.subarray(headBytes);
    start = Buffer.of();
    current.answer = { head: parsed, take: current.choose(parsed), lasts, left };
    hand(current.answer, rest);
  }

  /** What came before still counts. */
  function fail(failure: unknown): void {
    socket.destroy();
    if (turn === undefined) return;
    const { url, answer } = turn;
    const answered = answer !== undefined || start.length > 0;
    const silent = !answered && !(failure instanceof ArtifactError);
    const outage = toConnectionError(failure, url, answered);
    end(({ resolve, reject }) => (silent ? resolve({ kind: 'gone', failure: outage }) : reject(outage)));
  }

  const socket = open(server, tls, { buffer, callback: read });
  socket.setTimeout(server.connectMs);
  socket.once(server.url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
    connected = true;
    socket.setTimeout(stallMs);
  });
  socket.on('timeout', () => {
    const before = [turn, connected, socket.bytesRead];
    // Timers come before sockets: where this thread was held up, by a disk for one, what came meanwhile is read first.
    setImmediate(() => {
      const now = [turn, connected, socket.bytesRead];
      if (now.some((value, index) => value !== before[index])) return;
      fail(connected ? stall(server.url) : new Error(`no connection in ${server.connectMs / 1000} s`));
    });
  });
  socket.on('error', fail);
  socket.on('close', () => {
    fail(new Error('closed by the server'));
    onEnd();
  });

  return {
    free: () => turn === undefined && !socket.destroyed,
    close: () => void socket.destroy(),
    get: ({ url, headers }, choose, signal) =>
      new Promise((resolve, reject) => {
        const question = formatGet(url, headers);
        const abort = (): void => fail(cancelled(signal));
        const received = (): number | undefined => (socket.isPaused() ? undefined : socket.bytesRead);
        const watch = watchRate(leastRate, url, received, fail);
        turn = { url, choose, signal, abort, watch, resolve, reject };
        if (signal.aborted) return abort();
        signal.addEventListener('abort', abort);
        socket.ref();
        if (connected) socket.setTimeout(stallMs);
        socket.write(question);
      }),
  };
}

type OnRead = { readonly buffer: Uint8Array; readonly callback: (count: number) => boolean };

function open({ url, trust, fence }: PlainRequest, tls: Tls, onread: OnRead): Socket {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const lookup = fence === undefined ? {} : { lookup: lookupWithin(fence) };
  if (url.protocol === 'http:') return connect({ host, port: Number(url.port || 80), onread, ...lookup });
  const options: ConnectionOptions & { readonly onread: OnRead } = {
    host,
    port: Number(url.port || 443),
    ALPNProtocols: ['http/1.1'],
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...tls.options(trust),
    ...lookup,
    onread,
  };
  return connectTls(options);
}
