import { ArtifactError, type ErrorCode, errnoOf } from './error.ts';

/** Asks the other of two threads. @throws its error: an ArtifactError, or an error with its errno. */
export type AskThread = (question: unknown) => Promise<unknown>;

/** The messages of two threads: numbered questions, and their results. */
export type Message =
  | { readonly kind: 'question'; readonly number: number; readonly question: unknown }
  | { readonly kind: 'outcome'; readonly number: number; readonly outcome: Outcome };

type Outcome =
  | { readonly kind: 'answer'; readonly value: unknown }
  | { readonly kind: 'refusal'; readonly code: ErrorCode; readonly message: string }
  | { readonly kind: 'failure'; readonly errno: string | undefined; readonly message: string };

/** One end of the channel between two threads; each may ask the other. */
export type ThreadCalls = {
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

export function openCalls(
  post: (message: Message) => void,
  answer: (question: never) => unknown,
): ThreadCalls {
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
