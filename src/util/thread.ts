import { extname } from 'node:path';
import { parentPort, type ResourceLimits, Worker } from 'node:worker_threads';
import { type Call, type Message, openCalls } from './thread-call.ts';

/**
 * Another thread of this process, which is asked many things at a time. It keeps the process alive only while it owes an
 * answer. Disposing it fails what it was asked at once, and ends it as soon as it has loaded what it runs, and with it
 * the threads that it has started.
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

/** What a thread sends: first that it is ready. */
type Sent = 'ready' | Message;

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
  let failure: unknown = new Error(`the thread ${file} has ended`);
  const calls = openCalls(message => post(worker, message), answer);
  let answers = true;
  const endAnswers = (): void => {
    if (!answers) return;
    answers = false;
    calls.end(failure);
    onEnd();
  };

  worker.unref();
  worker.on('message', (sent: Sent) => {
    if (sent === 'ready') return ready.resolve();
    calls.receive(sent);
    if (calls.count() === 0) worker.unref();
  });
  worker.on('error', thrown => {
    failure = thrown;
  });
  worker.on('exit', () => {
    ready.resolve();
    endAnswers();
  });

  return {
    async ask(question) {
      worker.ref();
      return (await calls.ask(question)) as Answer;
    },
    async [Symbol.asyncDispose]() {
      endAnswers();
      worker.ref();
      await ready.promise;
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
 * The other end: what runs in the thread calls this once, when it has loaded what it needs.
 * @param answer is given the question, and a way to ask the thread that started this one.
 */
export function answerQuestions(answer: (question: never, call: Call) => unknown): void {
  const port = parentPort;
  if (port === null) throw new Error('only a thread answers questions');
  const calls = openCalls(
    message => post(port, message),
    question => answer(question, calls.ask),
  );
  port.on('message', calls.receive);
  post(port, 'ready');
}

function refuse(): never {
  throw new Error('the thread that started this one answers nothing');
}

function post(to: Pick<Worker, 'postMessage'>, sent: Sent): void {
  // A thread of this process has no origin.
  // oxlint-disable-next-line unicorn/require-post-message-target-origin
  to.postMessage(sent);
}
