import type { SharedEvent, Sharing } from '../../ports/sharing.ts';
import { abortable } from '../../util/abortable.ts';
import { ArtifactError } from '../../util/error.ts';

/** The events of one subscriber since it was opened. */
export type Subscription = Disposable & {
  /** @throws `exhausted` for a subscriber that is too slow; the signal's reason. */
  read(signal: AbortSignal): AsyncGenerator<SharedEvent, never>;
};

/** @param most events that wait. */
export function openSubscription({ follow }: Pick<Sharing, 'follow'>, most: number): Subscription {
  let waiting: SharedEvent[] = [];
  let isFull = false;
  let wake = (): void => {};
  const following = follow(event => {
    isFull ||= waiting.length >= most;
    if (!isFull) waiting.push(event);
    wake();
  });
  return {
    async *read(signal) {
      for (;;) {
        const some = waiting;
        waiting = [];
        yield* some;
        if (waiting.length > 0) continue;
        if (isFull)
          throw new ArtifactError(
            'exhausted',
            `more than ${most} events were not read; list, and subscribe again`,
          );
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        await abortable(promise, signal);
      }
    },
    [Symbol.dispose]: () => following[Symbol.dispose](),
  };
}
