import assert from 'node:assert/strict';
import {
  chmodSync,
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { needs } from '../../test/support/project/tools.ts';
import { receiveMessage, sendMessage } from '../linux/unix-message.ts';
import { acceptFrom, connectTo, listenAt, untilReadable } from '../linux/unix-socket.ts';
import { hold } from './holder.ts';
import { type HolderLink, openHolderLink } from './holder-link.ts';

const nobody = 65534;

type Sample = AsyncDisposable & {
  readonly path: string;
  readonly lines: string[];
  /** Opens a file with this text. */
  file(text: string): number;
  /** A connection of its own, which is closed with the rest. */
  connect(): number;
  stop(): Promise<void>;
};

async function startHolder(patienceMs = 60_000): Promise<Sample> {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await temporaryDirectory());
  const path = join(directory.path, 'hold.sock');
  const lines: string[] = [];
  const ending = new AbortController();
  const held = hold({ path, patienceMs, log: text => lines.push(text) }, ending.signal);
  const stop = async (): Promise<void> => {
    ending.abort();
    await held;
  };
  stack.defer(stop);
  let files = 0;
  const opened = stack.move();
  return {
    path,
    lines,
    file(text) {
      const name = join(directory.path, `file-${files++}`);
      writeFileSync(name, text);
      return openSync(name, 'r');
    },
    connect: () => opened.adopt(connectTo(path), closeSync),
    stop,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

async function hear(socket: number): Promise<ReturnType<typeof receiveMessage>> {
  await untilReadable([socket], 10_000);
  return receiveMessage(socket);
}

async function ask(socket: number, text: string, files: readonly number[] = []): Promise<string | undefined> {
  sendMessage(socket, text, files);
  const answer = await hear(socket);
  answer?.files.forEach(file => closeSync(file));
  return answer?.text;
}

async function until(what: string, is: () => boolean): Promise<void> {
  const end = Date.now() + 20_000;
  while (!is()) {
    assert.ok(Date.now() < end, what);
    await sleep(5);
  }
}

function tryReceive(socket: number): string {
  try {
    return receiveMessage(socket)?.text ?? '';
  } catch {
    return ''; // nothing is there yet
  }
}

/** The text of a file that was passed. */
function textOf(file: number | undefined): string {
  const bytes = Buffer.alloc(100);
  return bytes.toString('latin1', 0, readSync(file ?? -1, bytes, 0, 100, 0));
}

const openFiles = (): number => readdirSync('/proc/self/fd').length;

async function link(holder: Sample, tell: (text: string) => void = () => {}): Promise<HolderLink> {
  return await openHolderLink(holder.path, tell);
}

test('what a daemon gives outlives it, and is given to the next one', needs('root'), async () => {
  await using holder = await startHolder();
  const [device, mount] = [holder.file('device'), holder.file('mount')];
  {
    using first = await link(holder);
    assert.equal(first.take(), undefined);
    const keeping = first.keep([device, mount]);
    await until('kept', keeping.isKept);
    closeSync(device);
    closeSync(mount);
  }
  using next = await link(holder);
  const taken = next.take() ?? [];
  assert.deepEqual(taken.map(textOf), ['device', 'mount']);
  assert.equal(next.take(), undefined, 'they are taken');
  next.settle();
  taken.forEach(file => closeSync(file));
  assert.equal(next.problem(), undefined);
});

test('what nobody takes, or what is dropped, is kept no longer', needs('root'), async () => {
  await using holder = await startHolder();
  for (const end of ['settle', 'drop'] as const) {
    const file = holder.file('some');
    {
      using first = await link(holder);
      await until('kept', first.keep([file]).isKept);
    }
    {
      using other = await link(holder);
      if (end === 'drop') other.take()?.forEach(taken => closeSync(taken));
      other[end]();
      await until('dropped', () => holder.lines.at(-1) === 'nothing is kept');
    }
    using last = await link(holder);
    assert.equal(last.take(), undefined);
    closeSync(file);
  }
});

test('words that arrive together are obeyed one after the other', needs('root'), async () => {
  await using holder = await startHolder();
  const daemon = holder.connect();
  const file = holder.file('kept');
  sendMessage(daemon, 'holder/1 drop\n');
  sendMessage(daemon, 'holder/1 drop\n');
  sendMessage(daemon, 'holder/1 keep\n', [file]); // the kernel joins them up to the first with files
  closeSync(file);
  await until('kept', () => holder.lines.includes('keeps the reads of the daemon'));
  let answers = '';
  await until('answered', () => {
    answers += tryReceive(daemon);
    return answers.length >= 42;
  });
  assert.equal(answers, 'holder/1 done\n'.repeat(3));
});

test('while a daemon is connected, another one gets nothing, and is told why', needs('root'), async () => {
  await using holder = await startHolder();
  using first = await link(holder);
  const file = holder.file('of the first');
  await until('kept', first.keep([file]).isKept);
  const other = holder.connect();
  assert.equal(await ask(other, 'holder/1 take\n'), 'holder/1 busy\n');
  assert.equal(await ask(other, 'holder/1 drop\n'), 'holder/1 busy\n');
  assert.equal(await ask(other, 'holder/1 keep\n', [file]), 'holder/1 busy\n');
  using second = await link(holder);
  assert.match(second.problem() ?? '', /another daemon is connected to it/);
  assert.equal(first.problem(), undefined);
  closeSync(file);
});

test('a daemon that begins while its predecessor ends waits for it', needs('root'), async () => {
  await using holder = await startHolder();
  const first = await link(holder);
  const file = holder.file('kept');
  await until('kept', first.keep([file]).isKept);
  const opening = link(holder);
  await sleep(200);
  first[Symbol.dispose]();
  using second = await opening;
  assert.deepEqual(second.take()?.map(textOf), ['kept']);
  closeSync(file);
});

test('garbage ends a connection, leaves no file open, and disturbs no daemon', needs('root'), async () => {
  await using holder = await startHolder();
  using daemon = await link(holder);
  const file = holder.file('kept');
  const keeping = daemon.keep([file]);
  await until('kept', keeping.isKept);
  const before = openFiles();
  const many = Array.from({ length: 9 }, () => file);
  const cases: readonly (readonly [string, readonly number[]])[] = [
    ['', [file]],
    ['GET / HTTP/1.1\r\n\r\n', []],
    ['\0'.repeat(250), many],
    ['holder/1 keep', [file]],
    ['holder/1 keep\n', []],
    ['holder/1 take\n', [file]],
    ['holder/1 sing\n', [file]],
    ['holder/2 take\n', []],
    ['x'.repeat(100_000), many],
  ];
  for (const [text, files] of cases) {
    const socket = connectTo(holder.path);
    try {
      sendMessage(socket, text === '' ? '\n' : text, files);
      const answer = await hear(socket);
      assert.equal(answer?.text, 'holder/1 refused\n', text.slice(0, 30));
      assert.equal(await hear(socket).catch(() => undefined), undefined);
    } finally {
      closeSync(socket);
    }
  }
  await until('all is closed', () => openFiles() === before);
  assert.ok(keeping.isKept());
  assert.ok(
    holder.lines.some(line => /speaks version 2 of the language of a holder, and this one 1/.test(line)),
  );
});

test('an answer that no holder gives leaves no file open', needs('root'), async () => {
  await using temporary = await temporaryDirectory();
  const path = join(temporary.path, 'hold.sock');
  const listener = listenAt(path);
  const file = openSync('/dev/null', 'r');
  const before = openFiles();
  const cases = [
    ['holder/2 held\n', /speaks version 2 of the language of a holder, and this one 1/],
    ['holder/1 empty\n', /it answers empty with 2 files/],
    ['holder/1 busy\n', /it answers busy with 2 files/],
    ['holder/1 done\n', /it answers done to what this daemon said/],
    ['\0', /does not speak the language/],
  ] as const;
  for (const [answer, why] of cases) {
    const opening = openHolderLink(path, () => {});
    const peer = await accept(listener);
    assert.equal((await hear(peer))?.text, 'holder/1 take\n');
    sendMessage(peer, answer, [file, file]);
    using daemon = await opening;
    assert.match(daemon.problem() ?? '', why);
    closeSync(peer);
  }
  await until('all is closed', () => openFiles() === before);
  closeSync(listener);
  closeSync(file);
});

async function accept(listener: number): Promise<number> {
  await untilReadable([listener], 10_000);
  return acceptFrom(listener);
}

test('connections that say nothing are few, and end', needs('root'), async () => {
  await using holder = await startHolder();
  const silent = Array.from({ length: 15 }, () => holder.connect());
  using daemon = await link(holder);
  assert.equal(daemon.problem(), undefined);
  const more = holder.connect();
  assert.equal((await hear(more))?.text, undefined, 'it is one too many');
  for (const socket of silent) assert.equal(await hear(socket), undefined);
  assert.equal(daemon.problem(), undefined);
});

test('only root is served, and only a holder that is root is used', needs('root'), async () => {
  await using holder = await startHolder();
  await until('it listens', () => holder.lines.length > 0);
  chmodSync(dirname(holder.path), 0o755);
  assert.throws(() => asNobody(() => connectTo(holder.path)), { code: 'EACCES' });
  chmodSync(holder.path, 0o777);
  const socket = asNobody(() => connectTo(holder.path));
  assert.equal((await hear(socket))?.text, undefined);
  assert.ok(holder.lines.includes(`a connection was closed: it is of user ${nobody}, and not of root`));
  closeSync(socket);

  await using temporary = await temporaryDirectory();
  chmodSync(temporary.path, 0o777);
  const path = join(temporary.path, 'hold.sock');
  const listener = asNobody(() => listenAt(path));
  using impostor = await openHolderLink(path, () => {});
  assert.match(impostor.problem() ?? '', /it runs as user 65534, and not as root/);
  closeSync(listener);
});

/** Makes a call as another user. */
function asNobody<T>(action: () => T): T {
  process.seteuid?.(nobody);
  try {
    return action();
  } finally {
    process.seteuid?.(0);
  }
}

test(
  'a holder that is absent, or hangs, holds up no daemon, and is used once it is there',
  needs('root'),
  async () => {
    await using temporary = await temporaryDirectory();
    const path = join(temporary.path, 'hold.sock');
    const lines: string[] = [];
    const tell = (text: string): void => void lines.push(text);
    const listener = listenAt(path);
    const begun = Date.now();
    {
      using hanging = await openHolderLink(path, tell);
      assert.match(hanging.problem() ?? '', /it does not answer/);
      assert.ok(Date.now() - begun < 10_000);
    }
    closeSync(listener);
    using absent = await openHolderLink(path, tell);
    assert.match(absent.problem() ?? '', /it is not running \(ECONNREFUSED\)/);
    const file = openSync('/proc/self/status', 'r');
    const keeping = absent.keep([file]);
    assert.equal(keeping.isKept(), false);
    const ending = new AbortController();
    const held = hold({ path, patienceMs: 60_000, log() {} }, ending.signal); // it replaces the old socket
    await until('kept', keeping.isKept);
    assert.equal(absent.problem(), undefined);
    await assert.rejects(hold({ path, patienceMs: 1, log() {} }, ending.signal), {
      code: 'exists',
      message: `another holder answers on ${path}; end it first`,
    });
    ending.abort();
    await held;
    await until('lost', () => absent.problem() !== undefined);
    assert.equal(keeping.isKept(), false);
    const again = new AbortController();
    const next = hold({ path, patienceMs: 60_000, log() {} }, again.signal);
    await until('kept by the next one', keeping.isKept);
    again.abort();
    await next;
    closeSync(file);
    assert.equal(lines.filter(line => line.endsWith('is reached')).length, 2, lines.join('\n'));
  },
);

test('while no daemon is there, files are kept no longer than the patience', needs('root'), async () => {
  await using holder = await startHolder(1000);
  const file = holder.file('kept');
  {
    using daemon = await link(holder);
    await until('kept', daemon.keep([file]).isKept);
    await sleep(1200);
    assert.ok(!holder.lines.some(line => /no daemon came/.test(line)));
  }
  const before = openFiles();
  await until(
    'it gives up',
    () => holder.lines.at(-1) === 'no daemon came within 1 s: reads of missing content fail',
  );
  assert.ok(openFiles() < before);
  using next = await link(holder);
  assert.equal(next.take(), undefined);
  closeSync(file);
});

test('a holder whose socket was removed leaves that of the next one', needs('root'), async () => {
  await using holder = await startHolder();
  rmSync(holder.path);
  const ending = new AbortController();
  const next = hold({ path: holder.path, patienceMs: 60_000, log() {} }, ending.signal);
  await holder.stop();
  assert.ok(existsSync(holder.path));
  ending.abort();
  await next;
  assert.ok(!existsSync(holder.path));
});

test('a path that is no socket is left alone', needs('root'), async () => {
  await using temporary = await temporaryDirectory();
  const path = join(temporary.path, 'file');
  writeFileSync(path, 'precious');
  const ending = new AbortController();
  await assert.rejects(hold({ path, patienceMs: 1, log() {} }, ending.signal), { code: 'exists' });
  assert.equal(textOf(openSync(path, 'r')), 'precious');
});
