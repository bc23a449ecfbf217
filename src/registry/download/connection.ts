import { connect, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { ArtifactError } from '../../util/error.ts';
import { cancelled, stall, toConnectionError } from '../http/connection-error.ts';
import { lookupWithin } from '../http/redirect.ts';
import {
  type Accept,
  formatRequest,
  type Head,
  type HttpRequest,
  type LeastRate,
  type PlainMethod,
  parseResponseStart,
  type Receiver,
  watchRate,
} from '../http/request.ts';
import type { Tls } from '../http/tls.ts';

/**
 * The result of a request. `other`: the response is not plain, nothing of it was accepted, and the connection is closed.
 * `gone`: the connection ended before anything arrived.
 */
export type Outcome =
  | { readonly kind: 'answered'; readonly head: Head }
  | { readonly kind: 'other' }
  | { readonly kind: 'gone'; readonly failure: ArtifactError };

/** The part of a request without a body that a connection needs. */
export type PlainRequest = Pick<
  HttpRequest,
  'url' | 'headers' | 'trust' | 'connectMs' | 'responseMs' | 'origin' | 'fence'
> & {
  readonly method: PlainMethod;
};

/** A connection to one server (HTTP/1.1) that sends one request after the other. */
export type Connection = {
  /** Whether it can send another request. */
  free(): boolean;
  /** @throws as Send, if something arrived or the server stalls. */
  ask(request: PlainRequest, accept: Accept, signal: AbortSignal): Promise<Outcome>;
  close(): void;
};

export type ConnectionSettings = {
  readonly tls: Tls;
  /** Milliseconds that the server may send nothing. */
  readonly stallMs: number;
  readonly leastRate: LeastRate;
  /** The read buffer, shared by all connections: everything in it is consumed at once. */
  readonly buffer: Buffer;
  /** Called once, when the connection has ended. */
  readonly onEnd: () => void;
};

/** An idle connection is closed before common servers close it, the earliest after 5 s. */
const freeMs = 4_000;

type Turn = {
  readonly url: URL;
  readonly method: PlainMethod;
  readonly question: string;
  readonly accept: Accept;
  readonly signal: AbortSignal;
  readonly abort: () => void;
  /** Milliseconds that the server may send nothing before its first byte. */
  readonly responseMs: number;
  /** From the first byte on: a server may think for as long as it may be silent. */
  watch?: Disposable;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (thrown: unknown) => void;
  answer?: { readonly head: Head; readonly take: Receiver; readonly lasts: boolean; left: number };
};

export function openConnection(
  server: PlainRequest,
  { tls, stallMs, leastRate, buffer, onEnd }: ConnectionSettings,
): Connection {
  let turn: Turn | undefined;
  /** The bytes of an incomplete head. */
  let start = Buffer.of();
  let connected = false;
  /** Whether the receiver waited since the rate was last measured. */
  let waited = false;

  /** A connection that stays open is idle afterwards. */
  function end(settle: (ending: Turn) => void): void {
    const ending = turn;
    if (ending === undefined) return;
    turn = undefined;
    start = Buffer.of();
    ending.signal.removeEventListener('abort', ending.abort);
    ending.watch?.[Symbol.dispose]();
    if (!socket.destroyed) {
      socket.setTimeout(freeMs);
      socket.resume(); // with TLS the end may arrive while the connection is paused
      socket.unref();
    }
    settle(ending);
  }

  /** Passes on the received bytes of a body, and continues reading when there is room for more. */
  function hand(answer: NonNullable<Turn['answer']>, bytes: Buffer): void {
    const piece = bytes.subarray(0, answer.left);
    answer.left -= piece.length;
    const room = piece.length > 0 ? answer.take(piece) : undefined;
    if (answer.left > 0) {
      if (room !== undefined) wait(room);
      return;
    }
    // Unasked bytes could be the start of anything.
    if (!answer.lasts || piece.length < bytes.length) socket.destroy();
    end(({ resolve }) => resolve({ kind: 'answered', head: answer.head }));
  }

  function wait(room: Promise<void>): void {
    const waiting = turn;
    waited = true;
    socket.pause();
    socket.setTimeout(0); // the receiver is waiting, not the server
    const goOn = (): void => {
      if (turn !== waiting) return;
      socket.setTimeout(stallMs);
      socket.resume();
    };
    void room.then(goOn);
  }

  /** Takes `count` bytes from the buffer. False pauses the reading. */
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

  /** Handles the first bytes of a response. */
  function begin(current: Turn, bytes: Buffer): void {
    if (current.watch === undefined) {
      socket.setTimeout(stallMs);
      current.watch = watchRate(leastRate, current.url, received, fail);
    }
    start = Buffer.concat([start, bytes]);
    const parsed = parseResponseStart(start, current.method);
    if (parsed.kind === 'incomplete') return;
    if (parsed.kind === 'other') {
      socket.destroy();
      return end(({ resolve }) => resolve(parsed));
    }
    const { headBytes, contentLength: left, lasts } = parsed;
    const rest = start.subarray(headBytes);
    start = Buffer.of();
    current.answer = { head: parsed, take: current.accept(parsed), lasts, left };
    hand(current.answer, rest);
  }

  /** What arrived before still counts. */
  function fail(failure: unknown): void {
    socket.destroy();
    if (turn === undefined) return;
    const { url, answer } = turn;
    const answered = answer !== undefined || start.length > 0;
    const silent = !answered && !(failure instanceof ArtifactError);
    const outage = toConnectionError(failure, { url, origin: server.origin }, answered);
    end(({ resolve, reject }) => (silent ? resolve({ kind: 'gone', failure: outage }) : reject(outage)));
  }

  function received(): number | undefined {
    const isSlowed = waited;
    waited = socket.isPaused();
    return isSlowed ? undefined : socket.bytesRead;
  }

  /** Nothing is written before the handshake of TLS, whose error is then the reason of a failure. */
  function send(): void {
    if (turn === undefined || !connected) return;
    socket.setTimeout(turn.responseMs);
    socket.write(turn.question);
  }

  const socket = openSocket(server, tls, { buffer, callback: read });
  socket.setTimeout(server.connectMs);
  socket.once(server.url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
    connected = true;
    send();
  });
  socket.on('timeout', () => {
    const before = [turn, connected, socket.bytesRead];
    // Timers run before sockets: if this thread was blocked, for example by a disk, the bytes that arrived are read
    // first.
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
    ask: ({ method, url, headers, responseMs = stallMs }, accept, signal) =>
      new Promise((resolve, reject) => {
        const question = formatRequest(method, url, headers);
        const abort = (): void => fail(cancelled(signal));
        turn = { url, method, question, accept, signal, abort, responseMs, resolve, reject };
        if (signal.aborted) return abort();
        signal.addEventListener('abort', abort);
        socket.ref();
        send();
      }),
  };
}

type OnRead = { readonly buffer: Uint8Array; readonly callback: (count: number) => boolean };

/** Connects. Bytes are read into the buffer; `callback` answers false to pause the reading. */
export function openSocket(
  { url, trust, fence, origin }: Pick<PlainRequest, 'url' | 'trust' | 'fence' | 'origin'>,
  tls: Tls,
  onread: OnRead,
): Socket {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const lookup = fence === undefined ? {} : { lookup: lookupWithin(fence, origin) };
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
