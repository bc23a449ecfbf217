import { type EventEmitter, once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { abortable } from '../../util/abortable.ts';
import { ArtifactError } from '../../util/error.ts';

/** How long a caller may send or read nothing during a call, ms. Then the call ends. */
const silenceMs = 5 * 60_000;

/** Concurrent calls of one method that send messages; for each, some messages wait in memory for the handler. */
const mostSenders = 8;

export function createCallLimit(): { take(): Disposable } {
  let taken = 0;
  return {
    take() {
      if (taken >= mostSenders) {
        throw new ArtifactError('busy', `${mostSenders} calls of this method are open; call again later`);
      }
      taken++;
      return { [Symbol.dispose]: () => void taken-- };
    },
  };
}

/**
 * The messages of a caller; waiting for the next one ends with the signal. Their end proves nothing: a stream that is
 * reset, or whose connection breaks, often ends normally before it is cancelled.
 *
 * @throws `unavailable` if the next message does not come in time.
 */
export async function* received<Message>(
  wire: Readable,
  signal: AbortSignal,
  timeoutMs: number = silenceMs,
): AsyncGenerator<Message> {
  // An ordinary iterator destroys the stream at its end, and with it the answers in the other direction.
  const messages: AsyncIterator<Message> = wire.iterator({ destroyOnReturn: false });
  for (;;) {
    const next = await inTime(messages.next(), 'sent', signal, timeoutMs);
    if (next.done === true) return;
    yield next.value;
  }
}

/**
 * Sends messages as fast as the caller reads them, so that a caller that reads nothing costs the memory of a few.
 * Messages to a caller that has left are dropped.
 *
 * @throws `unavailable` if the caller reads nothing in time, and at once from then on.
 */
export function sender(
  wire: Pick<Writable, 'write'> & EventEmitter & { readonly cancelled: boolean },
  signal: AbortSignal,
  timeoutMs: number = silenceMs,
): (message: unknown) => Promise<void> {
  let room: Promise<unknown> = Promise.resolve();
  return async message => {
    await room;
    if (wire.cancelled || wire.write(message)) return;
    room = inTime(once(wire, 'drain', { signal }), 'taken', signal, timeoutMs);
    await room;
  };
}

/** The work's result. @throws the signal's reason if it aborts first; `unavailable` on a timeout. */
async function inTime<T>(
  work: Promise<T>,
  verb: 'sent' | 'taken',
  signal: AbortSignal,
  timeoutMs: number,
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const seconds = timeoutMs / 1000;
    reject(new ArtifactError('unavailable', `the caller has ${verb} nothing for ${seconds} s; call again`));
  }, timeoutMs);
  try {
    const result = await abortable(Promise.race([work, late]), signal);
    signal.throwIfAborted();
    return result;
  } catch (thrown) {
    signal.throwIfAborted();
    throw thrown;
  } finally {
    clearTimeout(timer);
  }
}
