import type { Sink } from '../../ports/registry.ts';
import type { Allowance } from '../../util/token-bucket.ts';

/** Counts received bytes, however they are written, and bounds their rate. Announced bytes count as none. */
export function metered(
  sink: Sink,
  count: (bytes: number) => void,
  allowance?: Allowance,
  isAwaited = false,
): Sink {
  let seen = sink.offset;
  const note = (): void => {
    const { offset } = sink;
    if (offset > seen) count(offset - seen);
    seen = offset;
  };
  const { file } = sink;
  return {
    get offset() {
      return sink.offset;
    },
    write(chunk) {
      sink.write(chunk);
      note();
    },
    restart() {
      sink.restart();
      note();
    },
    ...(file && {
      file: {
        ...file,
        grown() {
          file.grown();
          note();
        },
        announced(bytes) {
          file.announced?.(bytes);
          count(0);
        },
      },
    }),
    allowance,
    isAwaited,
    ...(sink.verify === undefined ? {} : { verify: sink.verify.bind(sink) }),
  };
}
