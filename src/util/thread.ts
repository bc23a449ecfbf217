import { extname } from 'node:path';
import { parentPort, type ResourceLimits, Worker } from 'node:worker_threads';
import { type AskThread, type Message, openCalls } from './thread-call.ts';

/**
 * Another thread of this process, which is asked many things at a time. It keeps the process alive only while it owes an
 * answer. Disposing it has it end what it does, with the threads that it has started, and stops it when it does nothing
 * any more: Node aborts the process when a thread is stopped while it loads, or while the pool works for it, and loses
 * the descriptor of a file that the pool was to close. What it was asked and has not answered fails then, and not
 * before, so that who asked may take away what it works on.
 *
 * A thread loads no native code: Node aborts the process when a thread ends while it loads some, and a thread may end
 * at any time, by its limits of memory for one. What needs a call of the C library asks the thread that started it.
 */
export type Thread<Question, Answer> = AsyncDisposable & {
  /**
   * Questions are taken in the order they came; answers come as they are ready.
   * @throws as the thread did: an ArtifactError, or an error with its errno; also once it has ended.
   */
  ask(question: Question): Promise<Answer>;
};

export type ThreadOptions = {
  readonly resourceLimits?: ResourceLimits;
  /** Called once, when it answers no more, however that came. */
  readonly onEnd?: () => void;
  /** Answers what the thread asks. */
  readonly answer?: (question: never) => unknown;
};

/** MiB. Enough for one that keeps its bytes outside of the heap. */
const smallLimits: ResourceLimits = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 16 };

/** What a thread sends: first that it is ready, last that it does nothing any more. What it is sent: last, to end. */
type Sent = 'ready' | 'idle' | Message;
type Told = 'end' | Message;

/**
 * @param ours the caller's import.meta.url.
 * @param file what runs in the thread: a module beside the caller, in the source and in a bundle, without its extension.
 */
export function startThread<Question, Answer>(
  ours: string,
  file: string,
  { resourceLimits = smallLimits, onEnd = () => {}, answer = refuse }: ThreadOptions = {},
): Thread<Question, Answer> {
  const worker = new Worker(new URL(`./${file}${extname(ours)}`, ours), { resourceLimits });
  const ready = Promise.withResolvers<void>();
  const idle = Promise.withResolvers<void>();
  let failure: unknown = new Error(`the thread ${file} has ended`);
  const calls = openCalls(message => post(worker, message), answer);
  let isAsked = true;
  const leave = (): void => {
    if (isAsked) onEnd();
    isAsked = false;
  };

  worker.unref();
  worker.on('message', (sent: Sent) => {
    if (sent === 'ready') return ready.resolve();
    if (sent === 'idle') return idle.resolve();
    if (isAsked || sent.kind === 'question') calls.receive(sent);
    if (isAsked && calls.count() === 0) worker.unref();
  });
  worker.on('error', thrown => {
    failure = thrown;
  });
  worker.on('exit', () => {
    ready.resolve();
    idle.resolve();
    leave();
    calls.end(failure);
  });

  return {
    async ask(question) {
      if (!isAsked) throw failure;
      worker.ref();
      return (await calls.ask(question)) as Answer;
    },
    async [Symbol.asyncDispose]() {
      leave();
      worker.ref();
      await ready.promise;
      post(worker, 'end');
      await idle.promise;
      await worker.terminate();
    },
  };
}

/** The same, for a thread that only helps: undefined where the system has no room for one more. */
export function startHelper<Question, Answer>(
  ...of: Parameters<typeof startThread>
): Thread<Question, Answer> | undefined {
  try {
    return startThread(...of);
  } catch {
    return undefined;
  }
}

/**
 * What a thread has to answer with. `signal` aborts when the thread is to end: then an answer ends what it began, waits
 * until nothing of that is under way, files that it closes among it, and throws.
 */
export type ThreadContext = { readonly call: AskThread; readonly signal: AbortSignal };

/** The other end: what runs in the thread calls this once, when it has loaded what it needs. */
export function answerQuestions(answer: (question: never, means: ThreadContext) => unknown): void {
  const port = parentPort;
  if (port === null) throw new Error('only a thread answers questions');
  const ending = new AbortController();
  const calls = openCalls(
    message => post(port, message),
    question => answer(question, { call: calls.ask, signal: ending.signal }),
  );
  const end = async (): Promise<void> => {
    const reason = new Error('the thread is to end');
    ending.abort(reason);
    calls.end(reason);
    await calls.idle();
    post(port, 'idle');
  };
  port.on('message', (told: Told) => {
    if (told === 'end') void end();
    else calls.receive(told);
  });
  post(port, 'ready');
}

function refuse(): never {
  throw new Error('the thread that started this one answers nothing');
}

function post(to: Pick<Worker, 'postMessage'>, sent: Sent | Told): void {
  // A thread of this process has no origin.
  // oxlint-disable-next-line unicorn/require-post-message-target-origin
  to.postMessage(sent);
}
