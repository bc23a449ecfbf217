import { createHook, executionAsyncId } from 'node:async_hooks';
import { appendFileSync, renameSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { Socket } from 'node:net';
import { join } from 'node:path';
import process from 'node:process';
import { inspect } from 'node:util';
import { isMainThread, MessagePort, threadId, Worker } from 'node:worker_threads';
import type { Frame, Recorded } from './publish-path.ts';

/**
 * Records what a daemon executes. `publishPath` loads it by --import, before the program, into the main thread and each
 * of its threads. At each SIGUSR2 the main thread writes what it executed since the last one. A thread writes that
 * before each message that it sends, because it may be ended afterwards.
 */

const directory = process.env['PUBLISH_PATH_DIRECTORY'] ?? '';
const session = new Session();
session.connect();
session.post('Profiler.enable');
session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
Error.stackTraceLimit = Infinity;

if (isMainThread) recordMain();
else recordThread();

function recordMain(): void {
  let takes = 0;
  let requests: (readonly Frame[])[] = [];
  const stacks = new Map<number, Stack>();
  createHook({ init: id => stacks.set(id, here()) }).enable();
  const post = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (...sent: unknown[]) {
    if (inspect(sent[0], { depth: 6 }).includes('/blobs/')) requests.push(completed(here(), stacks));
    return Reflect.apply(post, this, sent);
  };
  process.on('SIGUSR2', () => {
    const file = join(directory, `taken-${takes++}`);
    const recorded: Recorded = { functions: takeFunctions(), requests };
    requests = [];
    stacks.clear();
    writeFileSync(`${file}.new`, JSON.stringify(recorded));
    renameSync(`${file}.new`, file);
  });
}

function recordThread(): void {
  const record = (recorded: Recorded): void =>
    appendFileSync(join(directory, `thread-${threadId}`), `${JSON.stringify(recorded)}\n`);
  const post = MessagePort.prototype.postMessage;
  MessagePort.prototype.postMessage = function (...sent: unknown[]) {
    record({ functions: takeFunctions(), requests: [] });
    return Reflect.apply(post, this, sent);
  };
  const write = Socket.prototype.write;
  Socket.prototype.write = function (...sent: unknown[]) {
    if (/^GET \S*\/blobs\//.test(String(sent[0]))) record({ functions: [], requests: [here().frames] });
    return Reflect.apply(write, this, sent);
  };
}

/** Returns the functions of the program that ran since the last call, by file and position. */
function takeFunctions(): readonly string[] {
  let taken: readonly string[] = [];
  // The session answers before it returns.
  session.post('Profiler.takePreciseCoverage', (_, { result }) => {
    taken = result.flatMap(({ url, functions }) =>
      functions
        .map(({ ranges }) => ranges[0])
        .filter(range => range !== undefined && range.count > 0 && range.startOffset > 0)
        .flatMap(range => pathsOf(url).map(path => `${path}:${range?.startOffset}`)),
    );
  });
  return taken;
}

/** The frames of the program, and the asynchronous context: the promise whose reaction is running. */
type Stack = { readonly frames: readonly Frame[]; readonly context: number };

function here(): Stack {
  const usual = Error.prepareStackTrace;
  Error.prepareStackTrace = (_, sites) => sites;
  const sites = new Error('here').stack as unknown as readonly NodeJS.CallSite[];
  Error.prepareStackTrace = usual;
  const frames = sites.flatMap(site =>
    pathsOf(site.getFileName() ?? '').map(path => ({
      path,
      name: site.getFunctionName() ?? '',
      line: site.getEnclosingLineNumber() ?? 0,
      column: site.getEnclosingColumnNumber() ?? 0,
    })),
  );
  return { frames, context: executionAsyncId() };
}

function pathsOf(url: string): readonly string[] {
  const path = /^file:.*?\/src\/(?<path>.*)$/.exec(url)?.groups?.['path'];
  return path === undefined || url.includes('/node_modules/') ? [] : [path];
}

/**
 * Completes a stack up to the call. V8 follows one waiter of a promise, and ends where several wait. There the stack of
 * the promise whose reaction ran goes on.
 */
function completed({ frames, context }: Stack, stacks: ReadonlyMap<number, Stack>): readonly Frame[] {
  const whole = [...frames];
  let before = frames;
  for (let stack = stacks.get(context); stack !== undefined; stack = stacks.get(stack.context)) {
    const last = whole.at(-1);
    const at = stack.frames.findLastIndex(frame => isSame(frame, last));
    if (at >= 0) whole.push(...stack.frames.slice(at + 1));
    else if (isSame(before.at(-1), last)) whole.push(...stack.frames);
    before = stack.frames;
  }
  return whole;
}

function isSame(one: Frame | undefined, other: Frame | undefined): boolean {
  return one?.path === other?.path && one?.line === other?.line && one?.column === other?.column;
}
