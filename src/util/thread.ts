import { extname } from 'node:path';
import { parentPort, type ResourceLimits, Worker } from 'node:worker_threads';
import { ArtifactError, type ErrorCode, errnoOf } from './error.ts';

/**
 * Another thread of this process, which is asked many things at a time. It keeps the process alive only while it owes an
 * answer. Disposing it ends it at once, and with it the threads that it has started.
 */
export type Thread<Question, Answer> = AsyncDisposable & {
  /**
   * Questions are taken in the order they came; answers come as they are ready.
   * @throws as the thread did: an ArtifactError, or an error with its errno; also once it has ended.
   */
  ask(question: Question): Promise<Answer>;
};

/** With the number of its question. */
type Reply = readonly [number, Message];

type Message =
  | { readonly kind: 'answer'; readonly value: unknown }
  | { readonly kind: 'refusal'; readonly code: ErrorCode; readonly message: string }
  | { readonly kind: 'failure'; readonly errno: string | undefined; readonly message: string };

/** MiB. Enough for one that keeps its bytes outside of the heap. */
const smallLimits: ResourceLimits = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 16 };

/**
 * @param ours the caller's import.meta.url.
 * @param file what runs in the thread: a module beside the caller, in the source and in a bundle, without its extension.
 * @param onEnd called once, however it ends.
 */
export function startThread<Question, Answer>(
  ours: string,
  file: string,
  resourceLimits: ResourceLimits = smallLimits,
  onEnd: () => void = () => {},
): Thread<Question, Answer> {
  const worker = new Worker(new URL(`./${file}${extname(ours)}`, ours), { resourceLimits });
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let questions = 0;
  let failure: unknown = new Error(`the thread ${file} has ended`);
  let ended = false;

  worker.unref();
  worker.on('message', ([number, message]: Reply) => {
    const asked = waiting.get(number);
    waiting.delete(number);
    if (waiting.size === 0) worker.unref();
    if (message.kind === 'answer') asked?.resolve(message.value);
    else asked?.reject(toError(message));
  });
  worker.on('error', thrown => {
    failure = thrown;
  });
  worker.on('exit', () => {
    ended = true;
    for (const { reject } of waiting.values()) reject(failure);
    waiting.clear();
    onEnd();
  });

  return {
    async ask(question) {
      if (ended) throw failure;
      const asked = Promise.withResolvers<unknown>();
      // A thread of this process has no origin.
      // oxlint-disable-next-line unicorn/require-post-message-target-origin
      worker.postMessage([questions, question]);
      waiting.set(questions++, asked);
      worker.ref();
      return (await asked.promise) as Answer;
    },
    async [Symbol.asyncDispose]() {
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

/** The other end: what runs in the thread calls this once. */
export function answerQuestions(answer: (question: never) => unknown): void {
  const toMessage = async (question: never): Promise<Message> => {
    try {
      return { kind: 'answer', value: await answer(question) };
    } catch (thrown) {
      return toFailure(thrown);
    }
  };
  // Nor has the thread that asks.
  // oxlint-disable-next-line unicorn/require-post-message-target-origin
  const post = (reply: Reply): void => parentPort?.postMessage(reply);
  parentPort?.on(
    'message',
    ([number, question]: [number, unknown]) =>
      void toMessage(question as never).then(message => post([number, message])),
  );
}

type Failure = Exclude<Message, { readonly kind: 'answer' }>;

function toFailure(thrown: unknown): Failure {
  if (thrown instanceof ArtifactError) return { kind: 'refusal', code: thrown.code, message: thrown.message };
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return { kind: 'failure', errno: errnoOf(thrown), message };
}

function toError(failure: Failure): Error {
  if (failure.kind === 'refusal') return new ArtifactError(failure.code, failure.message);
  return Object.assign(new Error(failure.message), failure.errno !== undefined && { code: failure.errno });
}
