import { createHash, type Hash } from 'node:crypto';
import { readSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { ArtifactError } from '../../util/error.ts';
import { type FileShare, lifeOf, setSize, sizeOf } from '../../util/growing-file.ts';
import { writeAll } from '../../util/regular-file.ts';
import type { ThreadContext } from '../../util/thread.ts';
import { type Allowance, receiveEach } from '../../util/token-bucket.ts';
import { type Head, skip } from '../http/request.ts';
import { openTls } from '../http/tls.ts';
import { type ConnectionPool, openConnectionPool } from './connection-pool.ts';
import { type RequestShare, toFailure, type WorkerAnswer, type WorkerQuestion } from './worker-protocol.ts';

/** If it returns a promise, the server is held back until that resolves. */
type Take = (piece: Uint8Array) => Promise<void> | void;

/** A GET. Its body waits until the other thread says where it goes. */
type Call = {
  /** Passes on the bytes that arrived, and from now on all that arrive. @throws what `take` throws. */
  readonly open: (take: Take) => void;
  readonly end: Promise<WorkerAnswer>;
  readonly leave: () => void;
};

/** The bytes of a body that goes into no file: more than is read of any page with an error or a redirect. */
const restBytes = 128 * 1024;

const done: WorkerAnswer = { kind: 'done' };
const ended: WorkerAnswer = { kind: 'ended' };
const otherwise: WorkerAnswer = { kind: 'otherwise' };

let connections: ConnectionPool | undefined;
const fills = new Map<number, FileWriter>();
const calls = new Map<number, Call>();

/** Answers the questions to a worker thread: receives blobs, writes and hashes files. */
export function answer(
  question: WorkerQuestion,
  { signal }: ThreadContext,
): WorkerAnswer | Promise<WorkerAnswer> {
  switch (question.kind) {
    case 'open':
      connections = openConnectionPool(openTls(), question.stallMs, question.leastRate);
      signal.addEventListener('abort', () => connections?.[Symbol.dispose]());
      return done;
    case 'hash':
      return hash(question.transport, fillOf(question.transport, question.file));
    case 'get':
      return get(question.call, question.request);
    case 'pour':
      return ending(question.call, call => pour(call, fillOf(question.transport, question.file), question));
    case 'rest':
      return ending(question.call, readRest);
    case 'leave':
      return leave(question.call);
    case 'close':
      fills.delete(question.transport);
      return done;
  }
}

/** The steps for one question, in about 50 ms. */
const hashSteps = 16;

/** Between two steps, what else the thread does has its turn. */
async function hash(transport: number, fill: FileWriter): Promise<WorkerAnswer> {
  for (let step = 1; ; step++) {
    const hex = fill.hashOn();
    if (hex !== undefined || step === hashSteps) return { kind: 'hash', hex };
    await setImmediate();
    if (fills.get(transport) !== fill) throw new Error('the transport is closed');
  }
}

function get(id: number, request: RequestShare): Promise<WorkerAnswer> {
  if (connections === undefined) throw new Error('the worker is not open');
  const controller = new AbortController();
  const arrived = Promise.withResolvers<WorkerAnswer>();
  const opened = Promise.withResolvers<void>();
  const early: Buffer[] = [];
  let take: Take | undefined;
  const accept = ({ status, headers }: Head) => {
    arrived.resolve({ kind: 'head', head: { status, headers } });
    return (piece: Uint8Array): Promise<void> | void => {
      if (take !== undefined) return take(piece);
      early.push(Buffer.from(piece));
      return opened.promise; // the server is held back
    };
  };
  const end = connections
    .send({ ...request, method: 'GET', url: new URL(request.url) }, accept, controller.signal)
    .then(answered => (answered === undefined ? otherwise : ended), toAnswer);
  const open = (target: Take): void => {
    take = target;
    for (const piece of early.splice(0)) void target(piece); // the next piece waits
    opened.resolve();
  };
  calls.set(id, { open, end, leave: () => controller.abort() });
  end.catch(() => {}); // the next caller gets the error
  return Promise.race([arrived.promise, end]);
}

/** @throws errors that are not failures of the connection. */
function toAnswer(thrown: unknown): WorkerAnswer {
  if (thrown instanceof ArtifactError) return { kind: 'failed', failure: toFailure(thrown) };
  throw thrown;
}

async function pour(
  { open, end, leave }: Call,
  fill: FileWriter,
  body: { readonly past: number; readonly hashes: boolean; readonly allowances: readonly Allowance[] },
): Promise<WorkerAnswer> {
  const { past, hashes, allowances } = body;
  const isBounded = allowances.length > 0;
  const write = skip(past, piece => fill.append(piece, hashes));
  try {
    open(piece => {
      write(piece);
      if (isBounded) return receiveEach(allowances, piece.length);
    });
  } catch (thrown) {
    leave();
    await end.catch(() => {});
    throw thrown;
  }
  const answer = await end;
  return answer === ended && hashes ? { kind: 'ended', hex: fill.hashOfAll() } : answer;
}

async function readRest({ open, end, leave }: Call): Promise<WorkerAnswer> {
  // One buffer, however small the received chunks are.
  const rest = new Uint8Array(restBytes);
  let length = 0;
  open(piece => {
    const part = piece.subarray(0, restBytes - length);
    rest.set(part, length);
    length += part.length;
    if (length === restBytes) leave();
  });
  const answer = await end;
  return answer === ended || length === restBytes ? { kind: 'ended', rest: rest.slice(0, length) } : answer;
}

/** A call ends with the answer to its last question. */
async function ending(id: number, work: (call: Call) => Promise<WorkerAnswer>): Promise<WorkerAnswer> {
  try {
    return await work(callOf(id));
  } finally {
    calls.delete(id);
  }
}

async function leave(id: number): Promise<WorkerAnswer> {
  const call = calls.get(id);
  calls.delete(id);
  call?.leave();
  await call?.end.catch(() => {});
  return done;
}

function callOf(id: number): Call {
  const call = calls.get(id);
  if (call === undefined) throw new Error('there is no such call');
  return call;
}

function fillOf(transport: number, file: FileShare): FileWriter {
  const fill = fills.get(transport) ?? openFileWriter(file);
  fills.set(transport, fill);
  return fill;
}

/**
 * Appends to a file of another thread, hashes its content, or both. Bytes are written in order: a killed process leaves
 * no hole.
 */
export type FileWriter = {
  /** @param hashes continues the hash, if it covers everything before. @throws errors of the filesystem. */
  append(bytes: Uint8Array, hashes: boolean): void;
  /**
   * Reads and hashes one step of the content that is not hashed yet. Returns the hash of all of it, in hex, when there
   * is no more.
   *
   * @throws errors of the filesystem; an error if the file is shorter than reported.
   */
  hashOn(): string | undefined;
  /** The hash of all content, in hex; undefined if some of it is not hashed. */
  hashOfAll(): string | undefined;
};

/** The bytes hashed in one step, about 3 ms: files that share a thread take turns. */
const hashStep = 4 * 1024 * 1024;
/** The read buffer of all files: small enough to be hashed while it is in the CPU cache. */
const buffer = Buffer.allocUnsafeSlow(256 * 1024);

export function openFileWriter({ fd, algorithm, state, base = 0 }: FileShare): FileWriter {
  let hash: Hash = createHash(algorithm);
  let hashed = 0;
  let life = lifeOf(state);

  /** Hashes of an earlier generation of the file no longer count. */
  const meetLife = (): void => {
    const now = lifeOf(state);
    if (life === now) return;
    hash = createHash(algorithm);
    hashed = 0;
    life = now;
  };
  const hashOfAll = (): string | undefined => {
    meetLife();
    return hashed === sizeOf(state) ? hash.copy().digest('hex') : undefined;
  };
  const update = (bytes: Uint8Array): void => {
    hash.update(bytes);
    hashed += bytes.length;
  };

  return {
    append(bytes, hashes) {
      meetLife();
      const from = sizeOf(state);
      writeAll(fd, bytes, base + from);
      if (hashes && hashed === from) update(bytes);
      setSize(state, from + bytes.length);
    },
    hashOn() {
      meetLife();
      const size = sizeOf(state);
      const to = Math.min(size, hashed + hashStep);
      for (let left = to - hashed; left > 0; left = to - hashed) {
        const bytes = readSync(fd, buffer, 0, Math.min(buffer.length, left), base + hashed);
        if (bytes === 0) throw new Error(`it ends after ${hashed} of ${size} bytes`);
        update(buffer.subarray(0, bytes));
      }
      return hashOfAll();
    },
    hashOfAll,
  };
}
