import { connect, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { ArtifactError } from '../util/error.ts';
import type { Accept, Head, HopRequest, Receiver } from './hop.ts';
import { formatGet, parseResponseStart } from './http-message.ts';
import { cancelled, stall, toOutage } from './outage.ts';
import type { Tls } from './tls.ts';

/**
 * What became of a GET. `other`: the answer is not plain, nothing of it was accepted, and the wire is closed. `gone`:
 * the wire ended before anything came.
 */
export type Outcome =
  | { readonly kind: 'answered'; readonly head: Head }
  | { readonly kind: 'other' }
  | { readonly kind: 'gone'; readonly failure: ArtifactError };

/** A connection to one server (HTTP/1.1) that is asked one GET after the other, each time when it is free. */
export type Wire = {
  /** Whether it may be asked again. */
  free(): boolean;
  /** @throws as Send, where something came or the server is silent for too long. */
  get(request: HopRequest, accept: Accept, signal: AbortSignal): Promise<Outcome>;
  close(): void;
};

export type Means = {
  readonly tls: Tls;
  /** Milliseconds that the server may send nothing. */
  readonly stallMs: number;
  /** Where the large buffers are kept. */
  readonly buffers: { take(): Buffer; give(buffer: Buffer): void };
  /** Called once, when it has ended. */
  readonly onEnd: () => void;
};

/** Takes a head, and most of the bodies that are small. */
const ownBytes = 32 * 1024;
/** A free wire is closed before its server does so, which for the hastiest common ones is after 5 s. */
const freeMs = 4_000;

type Turn = {
  readonly url: URL;
  readonly accept: Accept;
  readonly signal: AbortSignal;
  readonly abort: () => void;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (thrown: unknown) => void;
  answer?: { readonly head: Head; readonly receive: Receiver; readonly lasts: boolean; left: number };
};

export function openWire(server: HopRequest, { tls, stallMs, buffers, onEnd }: Means): Wire {
  const own = Buffer.allocUnsafeSlow(ownBytes);
  let large: Buffer | undefined;
  let turn: Turn | undefined;
  /** Bytes of this turn in the buffer that is read into: our own until the head is there, then the large one. */
  let filled = 0;
  let connected = false;

  const space = (): Buffer => {
    if (turn?.answer === undefined) return own.subarray(filled);
    large ??= buffers.take();
    return large.subarray(filled);
  };

  /** A wire that lives on is free afterwards; what one writes to that dies is given back when it is closed. */
  function end(settle: (ending: Turn) => void): void {
    const ending = turn;
    if (ending === undefined) return;
    turn = undefined;
    filled = 0;
    ending.signal.removeEventListener('abort', ending.abort);
    if (!socket.destroyed) {
      giveBack();
      socket.setTimeout(freeMs);
      socket.unref();
    }
    settle(ending);
  }

  function giveBack(): void {
    if (large !== undefined) buffers.give(large);
    large = undefined;
  }

  /** Hands over what came of a body. */
  function hand(answer: NonNullable<Turn['answer']>, bytes: Buffer): void {
    filled = 0;
    const piece = bytes.subarray(0, answer.left);
    answer.left -= piece.length;
    if (piece.length > 0) answer.receive(piece);
    if (answer.left > 0) return;
    // What nobody asked for may be the start of anything.
    if (!answer.lasts || piece.length < bytes.length) socket.destroy();
    end(({ resolve }) => resolve({ kind: 'answered', head: answer.head }));
  }

  /** Takes `count` bytes that are in the buffer. False stops the reading. */
  function read(count: number): boolean {
    filled += count;
    try {
      if (turn === undefined) socket.destroy();
      else if (turn.answer === undefined) begin(turn);
      else if (large !== undefined && (filled === large.length || filled >= turn.answer.left))
        hand(turn.answer, large.subarray(0, filled));
    } catch (thrown) {
      socket.destroy();
      end(({ reject }) => reject(thrown));
    }
    return !socket.destroyed;
  }

  /** The first bytes of an answer. */
  function begin(current: Turn): void {
    const start = parseResponseStart(own.subarray(0, filled));
    if (start.kind === 'incomplete') return;
    if (start.kind === 'other') {
      socket.destroy();
      return end(({ resolve }) => resolve(start));
    }
    const { headBytes, contentLength: left, lasts } = start;
    current.answer = { head: start, receive: current.accept(start), lasts, left };
    hand(current.answer, own.subarray(headBytes, filled));
  }

  /** What came before still counts. */
  function fail(failure: unknown): void {
    socket.destroy();
    if (turn === undefined) return;
    const { url, answer } = turn;
    const silent = answer === undefined && filled === 0 && !(failure instanceof ArtifactError);
    const outage = toOutage(failure, url, answer !== undefined);
    try {
      if (answer !== undefined && large !== undefined) hand(answer, large.subarray(0, filled));
    } catch (thrown) {
      end(({ reject }) => reject(thrown));
    }
    end(({ resolve, reject }) => (silent ? resolve({ kind: 'gone', failure: outage }) : reject(outage)));
  }

  const socket = open(server, tls, { buffer: space, callback: read });
  socket.setTimeout(server.connectMs);
  socket.once(server.url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
    connected = true;
    socket.setTimeout(stallMs);
  });
  socket.on('timeout', () =>
    fail(connected ? stall(server.url) : new Error(`no connection in ${server.connectMs / 1000} s`)),
  );
  socket.on('error', fail);
  socket.on('close', () => {
    fail(new Error('closed by the server'));
    giveBack();
    onEnd();
  });

  return {
    free: () => turn === undefined && !socket.destroyed,
    close: () => void socket.destroy(),
    get: ({ url, headers }, accept, signal) =>
      new Promise((resolve, reject) => {
        const question = formatGet(url, headers);
        const abort = (): void => fail(cancelled(signal));
        turn = { url, accept, signal, abort, resolve, reject };
        if (signal.aborted) return abort();
        signal.addEventListener('abort', abort);
        socket.ref();
        if (connected) socket.setTimeout(stallMs);
        socket.write(question);
      }),
  };
}

type OnRead = { readonly buffer: () => Uint8Array; readonly callback: (count: number) => boolean };

function open({ url, trust }: HopRequest, tls: Tls, onread: OnRead): Socket {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (url.protocol === 'http:') return connect({ host, port: Number(url.port || 80), onread });
  const options: ConnectionOptions & { readonly onread: OnRead } = {
    host,
    port: Number(url.port || 443),
    ALPNProtocols: ['http/1.1'],
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...tls.options(trust),
    onread,
  };
  return connectTls(options);
}
