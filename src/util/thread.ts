import { extname } from 'node:path';
import { parentPort, type ResourceLimits, Worker } from 'node:worker_threads';
import { ArtifactError, type ErrorCode, errnoOf } from './error.ts';

/**
 * Another thread of this process, which answers several questions at a time. It keeps the process alive only while a
 * question is open. Disposing it lets it and the threads that it started finish what they do, and then stops it: Node
 * aborts the process if a thread is stopped while it loads, or while the pool works for it, and leaks the descriptor of
 * a file that the pool was to close. Open questions fail then, and not before, so that the caller may remove what the
 * thread works on.
 *
 * A thread loads no native code: Node aborts the process if a thread ends while it loads some, and a thread may end at
 * any time, for example by its memory limit. A thread that needs a call of the C library asks its parent.
 */
export type Thread<Question, Answer> = AsyncDisposable & {
  /**
   * Questions are received in order; answers arrive as they are ready.
   *
   * @throws the thread's error: an ArtifactError, or an error with its errno; `toFailure` once it has ended.
   */
  ask(question: Question): Promise<Answer>;
};

export type ThreadOptions = {
  readonly resourceLimits?: ResourceLimits;
  /** Called once, when it answers no more, whatever the reason. */
  readonly onEnd?: () => void;
  /** Makes the error of questions to a thread that has ended, from the reason. Default: the reason. */
  readonly toFailure?: (reason: unknown) => unknown;
  /** Answers the thread's questions. */
  readonly answer?: (question: never) => unknown;
};

/** MiB. Enough for a thread that keeps its bytes outside of the heap. */
const smallLimits: ResourceLimits = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 16 };

/**
 * The messages of a thread: the first says that it is ready, the last that it is idle. The last message to it tells it
 * to end.
 */
type Sent = 'ready' | 'idle' | Message;
type Told = 'end' | Message;

/**
 * @param ours the caller's import.meta.url.
 * @param file the module that runs in the thread: beside the caller, in the source and in a bundle, without its
 *   extension.
 */
export function startThread<Question, Answer>(
  ours: string,
  file: string,
  {
    resourceLimits = smallLimits,
    onEnd = () => {},
    toFailure = reason => reason,
    answer = refuse,
  }: ThreadOptions = {},
): Thread<Question, Answer> {
  const worker = new Worker(new URL(`./${file}${extname(ours)}`, ours), { resourceLimits });
  const ready = Promise.withResolvers<void>();
  const idle = Promise.withResolvers<void>();
  let reason: unknown = new Error(`the thread ${file} has ended`);
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
    reason = thrown;
  });
  worker.on('exit', () => {
    ready.resolve();
    idle.resolve();
    leave();
    calls.end(toFailure(reason));
  });

  return {
    async ask(question) {
      if (!isAsked) throw toFailure(reason);
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

/** The same, for a thread that only helps: undefined if the system has no room for one more. */
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
 * The answers of a thread. `signal` aborts when the thread is to end: an answer then ends its work, waits until nothing
 * of that is running, including closing files, and throws.
 */
export type ThreadContext = { readonly call: AskThread; readonly signal: AbortSignal };

/** The other end: the thread's module calls this once, when it has loaded what it needs. */
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

/** Asks the other of two threads. @throws its error: an ArtifactError, or an error with its errno. */
export type AskThread = (question: unknown) => Promise<unknown>;

/** The messages of two threads: numbered questions, and their results. */
type Message =
  | { readonly kind: 'question'; readonly number: number; readonly question: unknown }
  | { readonly kind: 'outcome'; readonly number: number; readonly outcome: Outcome };

type Outcome =
  | { readonly kind: 'answer'; readonly value: unknown }
  | { readonly kind: 'refusal'; readonly code: ErrorCode; readonly message: string }
  | { readonly kind: 'failure'; readonly errno: string | undefined; readonly message: string };

/** One end of the channel between two threads; each may ask the other. */
type ThreadCalls = {
  readonly ask: AskThread;
  /** Handles a message of the other end. */
  readonly receive: (message: Message) => void;
  /** The number of this end's unanswered questions. */
  count(): number;
  /** Waits until this end works on no question of the other. */
  idle(): Promise<void>;
  /** The other end is gone: fails waiting and later questions. */
  end(failure: unknown): void;
};

function openCalls(post: (message: Message) => void, answer: (question: never) => unknown): ThreadCalls {
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  const working = new Set<Promise<void>>();
  let questions = 0;
  let ended: { readonly failure: unknown } | undefined;

  const respond = async (number: number, question: unknown): Promise<void> => {
    const outcome = await toOutcome(async () => answer(question as never));
    if (ended === undefined) post({ kind: 'outcome', number, outcome });
  };
  const settle = (number: number, outcome: Outcome): void => {
    const asked = waiting.get(number);
    waiting.delete(number);
    if (outcome.kind === 'answer') asked?.resolve(outcome.value);
    else asked?.reject(toError(outcome));
  };

  return {
    async ask(question) {
      if (ended !== undefined) throw ended.failure;
      const number = questions++;
      const asked = Promise.withResolvers<unknown>();
      post({ kind: 'question', number, question });
      waiting.set(number, asked);
      return await asked.promise;
    },
    receive(message) {
      if (message.kind === 'outcome') return settle(message.number, message.outcome);
      const work = respond(message.number, message.question).finally(() => working.delete(work));
      working.add(work);
    },
    count: () => waiting.size,
    async idle() {
      await Promise.all(working);
    },
    end(failure) {
      ended = { failure };
      for (const { reject } of waiting.values()) reject(failure);
      waiting.clear();
    },
  };
}

async function toOutcome(work: () => Promise<unknown>): Promise<Outcome> {
  try {
    return { kind: 'answer', value: await work() };
  } catch (thrown) {
    if (thrown instanceof ArtifactError)
      return { kind: 'refusal', code: thrown.code, message: thrown.message };
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return { kind: 'failure', errno: errnoOf(thrown), message };
  }
}

function toError(outcome: Exclude<Outcome, { readonly kind: 'answer' }>): Error {
  if (outcome.kind === 'refusal') return new ArtifactError(outcome.code, outcome.message);
  return Object.assign(new Error(outcome.message), outcome.errno !== undefined && { code: outcome.errno });
}
