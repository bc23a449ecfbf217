import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { receiveMessage, sendMessage } from '../linux/unix-message.ts';
import { connectTo, peerUser, untilReadable } from '../linux/unix-socket.ts';
import { errnoOf } from '../util/error.ts';
import { formatWord, type HolderWord, parseWord } from './holder-message.ts';

/** The connection of a daemon to its holder. The holder may come, go, and be replaced at any time. */
export type HolderLink = Disposable & {
  /** The files that it kept when this process began; they are then the caller's. */
  take(): readonly number[] | undefined;
  /** Has these files kept, now and whenever the holder is reached, until this is disposed of: before they are closed. */
  keep(files: readonly number[]): HolderKeeping;
  /** Has it close what it keeps, whose reads then fail. */
  drop(): void;
  /** Drops what nobody took. */
  settle(): void;
  /** Why the holder is of no use now. */
  problem(): string | undefined;
};

export type HolderKeeping = Disposable & {
  isKept(): boolean;
  /** Has the holder close them: nobody can continue them. */
  drop(): void;
};

/** How long a daemon waits for the answer, and for the end of its predecessor. */
const answerMs = 2_000;
const busyMs = 5_000;
const retryMs = 5_000;
const root = 0;

/** Connects, and takes what the holder keeps. Neither an absent holder nor one that hangs is an error. */
export async function openHolderLink(path: string, tell: (text: string) => void): Promise<HolderLink> {
  let socket: Socket | undefined;
  let fd = -1;
  let taken: readonly number[] | undefined;
  let given: readonly number[] | undefined;
  /** Words to this holder. */
  let unanswered = 0;
  let problem: string | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;

  const lose = (why: string): void => {
    if (isOver) return;
    const text = `the holder at ${path} is not reached: ${why}; reads of missing content fail while no daemon runs`;
    if (problem !== text) tell(text);
    problem = text;
    timer = setTimeout(connectAgain, retryMs).unref();
  };

  const say = (word: HolderWord, files: readonly number[] = []): void => {
    try {
      if (socket === undefined) return;
      unanswered++;
      sendMessage(fd, formatWord(word), files);
    } catch {
      socket?.destroy();
    }
  };

  /** Tells a holder what it must keep from now on. */
  const renew = (): void => {
    if (given === undefined) say('drop');
    else say('keep', given);
  };

  const attach = (connected: number): void => {
    fd = connected;
    unanswered = 0;
    const opened = new Socket({ fd, readable: true, writable: true });
    let end = 'it has closed the connection';
    opened.on('data', bytes => {
      try {
        for (const line of bytes.toString('latin1').split(/(?<=\n)/)) {
          expect(line, 'done');
          unanswered--;
        }
      } catch (thrown) {
        end = toReason(thrown);
        opened.destroy();
      }
    });
    opened.on('error', () => {});
    opened.on('close', () => {
      socket = undefined;
      lose(end);
    });
    opened.unref();
    socket = opened;
    if (problem !== undefined) tell(`the holder at ${path} is reached`);
    problem = undefined;
  };

  const connectAgain = (): void => {
    try {
      attach(connect(path));
      renew();
    } catch (thrown) {
      lose(toReason(thrown));
    }
  };

  try {
    const [connected, files] = await begin(path);
    taken = files;
    attach(connected);
  } catch (thrown) {
    lose(toReason(thrown));
  }

  const drop = (): void => {
    taken?.forEach(file => closeSync(file));
    taken = undefined;
    given = undefined;
    renew();
  };

  return {
    take() {
      const files = taken;
      taken = undefined;
      return files;
    },
    keep(files) {
      given = files;
      renew();
      return {
        isKept: () => given === files && socket !== undefined && unanswered === 0,
        drop: () => (given === files ? drop() : undefined),
        [Symbol.dispose]() {
          if (given === files) given = undefined;
        },
      };
    },
    drop,
    settle() {
      if (taken !== undefined) drop();
    },
    problem: () => problem,
    [Symbol.dispose]() {
      isOver = true;
      clearTimeout(timer);
      taken?.forEach(file => closeSync(file));
      socket?.destroy();
    },
  };
}

/** Who listens there answers reads of volumes if it is given the files: only root may. */
function connect(path: string): number {
  const fd = connectTo(path);
  const user = peerUser(fd);
  if (user === root) return fd;
  closeSync(fd);
  throw new Error(`it runs as user ${user}, and not as root`);
}

/** Connects, and returns what is kept. A predecessor may be about to end. */
async function begin(path: string): Promise<readonly [fd: number, files: readonly number[] | undefined]> {
  const until = performance.now() + busyMs;
  for (;;) {
    const fd = connect(path);
    let files: readonly number[] = [];
    try {
      sendMessage(fd, formatWord('take'));
      await untilReadable([fd], answerMs);
      const message = receiveMessage(fd);
      files = message?.files ?? [];
      const isLast = performance.now() > until;
      const word = expect(message?.text ?? '', 'held', 'empty', ...(isLast ? [] : ['busy' as const]));
      if (word === 'held') return [fd, files];
      if (files.length > 0) throw new Error(`it answers ${word} with ${files.length} files`);
      if (word === 'empty') return [fd, undefined];
    } catch (thrown) {
      for (const file of files) closeSync(file);
      closeSync(fd);
      throw thrown;
    }
    closeSync(fd);
    await sleep(50);
  }
}

/** @throws Error that says why it is none of these words. */
function expect(text: string, ...words: readonly HolderWord[]): HolderWord {
  const word = parseWord(text);
  if (words.includes(word)) return word;
  throw new Error(
    word === 'busy' ? 'another daemon is connected to it' : `it answers ${word} to what this daemon said`,
  );
}

function toReason(thrown: unknown): string {
  const errno = errnoOf(thrown);
  if (errno === 'EAGAIN') return 'it does not answer';
  if (errno === 'ENOENT' || errno === 'ECONNREFUSED') return `it is not running (${errno})`;
  return errno ?? (thrown as Error).message;
}
