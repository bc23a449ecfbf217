import type { Logger } from 'pino';

/** What nothing handled, until this is disposed. */
export type Rejections = Disposable & { count(): number };

const report = 'this is a bug: please report it with this line';

/**
 * Keeps the process when a promise is rejected and nothing handles that, which Node would end. Such work has unwound, and
 * has released what it held, as a call that fails: only its result is lost. The end of the daemon would break off every
 * pull, and a cause that lasts, such as one unreadable file, would end each next daemon too. It is logged as an error and
 * counted.
 *
 * An exception that nothing catches ends the daemon, after it is logged: something may be half done.
 */
export function outliveRejections(log: Pick<Logger, 'error' | 'fatal'>): Rejections {
  let count = 0;
  const onRejection = (reason: unknown): void => {
    count++;
    log.error(
      { err: reason },
      `work in the background failed, and nothing handled that; the daemon goes on; ${report}`,
    );
  };
  const onException = (thrown: unknown): void =>
    log.fatal({ err: thrown }, `nothing caught an exception, and the daemon ends; ${report}`);
  process.on('unhandledRejection', onRejection);
  process.on('uncaughtExceptionMonitor', onException);
  return {
    count: () => count,
    [Symbol.dispose]() {
      process.off('unhandledRejection', onRejection);
      process.off('uncaughtExceptionMonitor', onException);
    },
  };
}
