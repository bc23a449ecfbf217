import { type EventEmitter, once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { ArtifactError } from '../../util/error.ts';

/** How long a caller may send or take nothing in the middle of a call, ms: whoever left without a word ends it. */
const patience = 5 * 60_000;

/**
 * A caller's messages; waiting for the next one ends with the signal. Their end proves nothing: a stream that is reset,
 * or whose connection breaks, often ends like any other before it is cancelled.
 * @throws `unavailable` where the next one does not come.
 */
export async function* received<Message>(
  wire: Readable,
  signal: AbortSignal,
  patienceMs: number = patience,
): AsyncGenerator<Message> {
  // An ordinary iterator destroys the stream at its end, and with it the answers that it carries the other way.
  const messages: AsyncIterator<Message> = wire.iterator({ destroyOnReturn: false });
  for (;;) {
    const next = await inTime(messages.next(), 'sent', signal, patienceMs);
    if (next.done === true) return;
    yield next.value;
  }
}

/**
 * Sends messages no faster than the caller takes them, so that one who reads nothing costs the memory of a few. What is
 * sent to a caller who has left is dropped.
 * @throws `unavailable` where the caller takes nothing, and at once from then on.
 */
export function sender(
  wire: Pick<Writable, 'write'> & EventEmitter & { readonly cancelled: boolean },
  signal: AbortSignal,
  patienceMs: number = patience,
): (message: unknown) => Promise<void> {
  let room: Promise<unknown> = Promise.resolve();
  return async message => {
    await room;
    if (wire.cancelled || wire.write(message)) return;
    room = inTime(once(wire, 'drain', { signal }), 'taken', signal, patienceMs);
    await room;
  };
}

/** The work's result. @throws the signal's reason if it aborts first, and `unavailable` if the caller lets it wait. */
async function inTime<T>(
  work: Promise<T>,
  verb: 'sent' | 'taken',
  signal: AbortSignal,
  patienceMs: number,
): Promise<T> {
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(signal.reason);
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  const late = setTimeout(() => {
    const seconds = patienceMs / 1000;
    reject(new ArtifactError('unavailable', `the caller has ${verb} nothing for ${seconds} s; call again`));
  }, patienceMs);
  try {
    const result = await Promise.race([work, ended]);
    signal.throwIfAborted();
    return result;
  } catch (thrown) {
    signal.throwIfAborted();
    throw thrown;
  } finally {
    clearTimeout(late);
    signal.removeEventListener('abort', stop);
  }
}
