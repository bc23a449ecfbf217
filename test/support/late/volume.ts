import { type ChildProcess, execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { runProgram } from '../os/program.ts';
import { temporaryDirectory } from '../os/temporary.ts';
import type { Command, Served, ServerState, Shape } from './commands.ts';
import { healLateVolume } from './heal.ts';

export type How = 'pread' | 'mmap' | 'sendfile';
export type Counts = { readonly right: number; readonly failed: number; readonly wrong: readonly string[] };

/** A mounted volume with one late file, served by a process of its own, and readers in others. */
export type LateVolume = AsyncDisposable & {
  readonly shape: Shape;
  readonly server: ChildProcess;
  readonly mount: string;
  /** Ends the connection, as an administrator can. */
  abort(): Promise<void>;
  /** Brings all bytes without the server, as the next daemon does. */
  heal(): Promise<void>;
  /** Has the server do it. */
  tell(command: Command): Promise<ServerState>;
  /** Reads in a process, which may be killed; returns what it found: `right`, `wrong at ...`, or an errno. */
  look(how: How, offset: number, length: number): Look;
  /** Reads at random places, for so long. What a killed process had told is found, undefined if it had told nothing. */
  lookOften(milliseconds: number, seed: number): Reader<Counts | undefined>;
};

type Reader<T> = { readonly process: ChildProcess; readonly found: Promise<T> };
export type Look = Reader<string>;

const serverFile = fileURLToPath(new URL('./server.ts', import.meta.url));
const readerFile = fileURLToPath(new URL('./reader.ts', import.meta.url));
/** Whatever a test does wrong: after so long the connection is ended, and all that waits for it. */
const watchMs = 60_000;

export async function openLateVolume(of: Partial<Omit<Shape, 'directory'>> = {}): Promise<LateVolume> {
  await using stack = new AsyncDisposableStack();
  const temporary = stack.use(await temporaryDirectory());
  for (const name of ['mount', 'fusectl']) mkdirSync(join(temporary.path, name));
  runProgram('mount', '-t', 'fusectl', 'fusectl', join(temporary.path, 'fusectl'));
  const shape: Shape = {
    directory: temporary.path,
    size: 3 * 2 ** 20 + 1234,
    chunkSize: 2 ** 20,
    blockSize: 512,
    isDirect: false,
    timeoutSeconds: 300,
    ...of,
  };
  const file = join(temporary.path, 'mount', 'file');
  const server = fork(serverFile, [JSON.stringify(shape)], { execArgv: [] });
  const ended = once(server, 'exit');
  const answers = new Map<number, (state: ServerState) => void>();
  const serves = new Promise<number>((resolve, reject) => {
    server.on('message', (message: Served) => {
      if (message.kind === 'serves') resolve(message.connection);
      else answers.get(message.number)?.(message.state);
    });
    void ended.then(() => reject(new Error('the server has ended')));
  });
  serves.catch(() => {});
  const abort = (connection: number): void =>
    writeFileSync(join(temporary.path, 'fusectl', String(connection), 'abort'), '1');
  const stop = async (): Promise<void> => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const connection = await serves.catch(() => undefined);
    server.kill('SIGKILL');
    if (connection !== undefined) ignore(() => abort(connection));
    await ended;
  };
  stack.defer(stop);
  const watch = setTimeout(() => void stop(), watchMs);
  stack.defer(() => clearTimeout(watch));
  await serves;

  const readers = new Set<ChildProcess>();
  stack.defer(() => {
    for (const reader of readers) reader.kill('SIGKILL');
  });
  const read = (...args: string[]): Reader<string> => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const reader = execFile(process.execPath, [readerFile, ...args], (error, stdout, stderr) => {
      readers.delete(reader);
      resolve(stdout === '' ? `${error?.signal ?? ''}${stderr}` : stdout);
    });
    readers.add(reader);
    return { process: reader, found: promise };
  };
  let commands = 0;
  const open = stack.move();
  return {
    shape,
    server,
    mount: join(temporary.path, 'mount'),
    heal: () => healLateVolume(shape),
    abort: async () => abort(await serves),
    tell(command) {
      const number = ++commands;
      return new Promise((resolve, reject) => {
        answers.set(number, resolve);
        void ended.then(() => reject(new Error(`the server ended at ${command.kind}`)));
        server.send({ number, command });
      });
    },
    look(how, offset, length) {
      const reader = read('one', file, how, String(offset), String(length));
      return { ...reader, found: reader.found.then(parse) };
    },
    lookOften(milliseconds, seed) {
      const reader = read('many', file, String(milliseconds), String(seed));
      const found = reader.found.then(text => {
        const told = text
          .slice(0, text.lastIndexOf('\n') + 1)
          .trimEnd()
          .split('\n')
          .at(-1);
        return told?.startsWith('{') ? (JSON.parse(told) as Counts) : undefined;
      });
      return { process: reader.process, found };
    },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

function parse(text: string): string {
  return text.startsWith('"') ? (JSON.parse(text) as string) : text;
}

function ignore(action: () => void): void {
  try {
    action();
  } catch {
    // the connection has ended
  }
}
