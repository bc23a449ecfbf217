import { closeSync, lstatSync, rmSync, writeSync } from 'node:fs';
import { unmapCodePages } from '../linux/code-pages.ts';
import { receiveMessage, sendMessage } from '../linux/unix-message.ts';
import { acceptFrom, connectTo, listenAt, openEvent, peerUser, untilReadable } from '../linux/unix-socket.ts';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { recognize } from '../util/same-file.ts';
import { formatWord, type HolderWord, parseWord } from './holder-message.ts';
import { createHolderPatience } from './holder-patience.ts';

export type HolderOptions = {
  /** Of the socket. Its directory must be writable by root alone. */
  readonly path: string;
  /** How long reads wait while no daemon is there. */
  readonly patienceMs: number;
  readonly log: (text: string) => void;
};

/** Connections that are not those of a daemon yet, and how long each has to say a word. */
const mostPeers = 16;
const silentMs = 5_000;
const root = 0;

/**
 * Keeps the open files of landings for a daemon, and gives them to the next one: until then the kernel lets reads of
 * missing bytes wait. It never uses the files. One daemon at a time, which is root, has a connection; while there is
 * none, reads wait no longer than the patience, and fail then.
 *
 * @throws ArtifactError `exists` if another holder has the socket; `unavailable` if it cannot be made.
 */
export async function hold({ path, patienceMs, log }: HolderOptions, signal: AbortSignal): Promise<void> {
  using stack = new DisposableStack();
  const listener = stack.adopt(listen(path), closeSync);
  const isOurs = recognize(path); // another holder has the path once somebody has removed this socket
  stack.defer(() => (isOurs(path) ? rmSync(path, { force: true }) : undefined));
  const wake = stack.adopt(openEvent(), closeSync);
  const stop = (): void => void writeSync(wake, BigUint64Array.of(1n));
  signal.addEventListener('abort', stop, { once: true });
  stack.defer(() => signal.removeEventListener('abort', stop));
  /** By their descriptors: when each has to have said something. */
  const peers = new Map<number, number>();
  stack.defer(() => peers.forEach((_, peer) => closeSync(peer)));
  let daemon: number | undefined;
  let kept: readonly number[] = [];
  const patience = createHolderPatience(patienceMs);
  const keep = (files: readonly number[]): void => {
    for (const file of kept) closeSync(file);
    kept = files;
    if (kept.length === 0) patience.reset();
  };
  stack.defer(() => keep([]));

  const dismiss = (peer: number, why?: string): void => {
    peers.delete(peer);
    closeSync(peer);
    if (why !== undefined) log(`a connection was closed: ${why}`);
    if (peer !== daemon) return;
    daemon = undefined;
    patience.left(performance.now());
    if (kept.length === 0) patience.reset();
    const left = patience.remaining(performance.now()) ?? 0;
    log(`the daemon has left${kept.length === 0 ? '' : `; reads wait ${Math.round(left / 1000)} s at most`}`);
  };

  const admit = (): void => {
    const peer = acceptFrom(listener);
    const user = peerUser(peer);
    peers.set(peer, performance.now() + silentMs);
    if (user !== root) dismiss(peer, `it is of user ${user}, and not of root`);
    else if (peers.size > mostPeers) dismiss(peer, 'there are too many');
  };

  const begin = (peer: number): void => {
    if (daemon === peer) return;
    daemon = peer;
    peers.set(peer, Infinity);
    patience.came(performance.now());
    log('a daemon is connected');
  };

  /** Returns the answer. The files are those of the message, and are kept or closed. */
  const obey = (word: HolderWord, files: readonly number[], peer: number): HolderWord => {
    const isTaken = daemon !== undefined && daemon !== peer;
    const isRight =
      word === 'keep' ? files.length > 0 : (word === 'take' || word === 'drop') && files.length === 0;
    if (!isRight || isTaken) for (const file of files) closeSync(file);
    if (!isRight) return 'refused';
    if (isTaken) return 'busy';
    begin(peer);
    if (word === 'take') return kept.length === 0 ? 'empty' : 'held';
    keep(files);
    log(files.length === 0 ? 'nothing is kept' : 'keeps the reads of the daemon');
    return 'done';
  };

  const hear = (peer: number): void => {
    let files: readonly number[] = [];
    try {
      const message = receiveMessage(peer);
      if (message === undefined) return dismiss(peer);
      ({ files } = message);
      // Words that were said one after the other may arrive together. The files come with the last of them.
      const words = message.text.split(/(?<=\n)/).map(parseWord);
      for (const [nth, word] of words.entries()) {
        const given = nth === words.length - 1 ? files : [];
        if (given === files) files = [];
        const answer = obey(word, given, peer);
        sendMessage(peer, formatWord(answer), answer === 'held' ? kept : []);
        if (answer === 'refused') return dismiss(peer, `${word} came with ${given.length} files`);
      }
    } catch (thrown) {
      answerLast(peer);
      dismiss(peer, (thrown as Error).message);
    } finally {
      for (const file of files) closeSync(file);
    }
  };

  const expire = (): void => {
    for (const [peer, until] of peers) if (until <= performance.now()) dismiss(peer, 'it said nothing');
    if (kept.length === 0 || patience.remaining(performance.now()) !== 0) return;
    keep([]);
    log(`no daemon came within ${patienceMs / 1000} s: reads of missing content fail`);
  };

  log(`listening on ${path}`);
  unmapCodePages(); // of its start: it does little from now on
  while (!signal.aborted) {
    const left = kept.length === 0 ? undefined : patience.remaining(performance.now());
    const silent = [...peers.values()].map(until => until - performance.now());
    const next = Math.min(left ?? Infinity, ...silent, longestPoll);
    const readable = await untilReadable([wake, listener, ...peers.keys()], Math.max(0, Math.ceil(next)));
    for (const peer of peers.keys()) if (readable.has(peer)) hear(peer);
    if (readable.has(listener)) attempt(admit);
    expire();
  }
}

/** Milliseconds; poll(2) counts with 32 bits. */
const longestPoll = 3_600_000;

/** So that a daemon with another version knows why. */
function answerLast(peer: number): void {
  attempt(() => sendMessage(peer, formatWord('refused')));
}

/** The other end may be gone. */
function attempt(action: () => void): void {
  try {
    action();
  } catch (thrown) {
    if (!gone.has(errnoOf(thrown) ?? '')) throw thrown;
  }
}

const gone: ReadonlySet<string> = new Set(['EAGAIN', 'EPIPE', 'ECONNRESET', 'ECONNABORTED', 'EINTR']);

/** Replaces the socket of a holder that was killed. */
function listen(path: string): number {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there === undefined) return bind(path);
  if (!there.isSocket())
    throw new ArtifactError('exists', `${path} is not a socket; move it away, or choose another path`);
  try {
    closeSync(connectTo(path));
  } catch (thrown) {
    if (errnoOf(thrown) !== 'ECONNREFUSED') throw inUse(path);
    rmSync(path);
    return bind(path);
  }
  throw inUse(path);
}

function inUse(path: string): ArtifactError {
  return new ArtifactError('exists', `another holder answers on ${path}; end it first`);
}

function bind(path: string): number {
  try {
    return listenAt(path);
  } catch (thrown) {
    throw new ArtifactError(
      'unavailable',
      `${path}: the socket could not be made (${errnoOf(thrown)})`,
      thrown,
    );
  }
}
