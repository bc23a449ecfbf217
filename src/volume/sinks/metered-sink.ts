import type { Sink } from '../../ports/registry.ts';
import type { GrowingFile } from '../../util/growing-file.ts';
import type { Allowance } from '../../util/token-bucket.ts';

/**
 * `mayAdopt`: whether the file may become one that another program has too. Default: no, since it could change what is
 * read after it was verified.
 */
type Terms = {
  readonly allowance?: Allowance | undefined;
  readonly isAwaited?: boolean | undefined;
  readonly mayAdopt?: boolean;
};

/** Counts received bytes, however they are written, and bounds their rate. Announced bytes count as none. */
export function metered(
  sink: Sink,
  count: (bytes: number) => void,
  { allowance, isAwaited = false, mayAdopt = false }: Terms = {},
): Sink {
  let seen = sink.offset;
  const note = (): void => {
    const { offset } = sink;
    if (offset > seen) count(offset - seen);
    seen = offset;
  };
  const meter = ({ adopt, ...file }: GrowingFile): GrowingFile => ({
    ...file,
    ...(mayAdopt && adopt !== undefined && { adopt }),
    grown() {
      file.grown();
      note();
    },
    announced(bytes) {
      file.announced?.(bytes);
      count(0);
    },
  });
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
    ...(file && { file: meter(file) }),
    allowance,
    isAwaited,
    ...(sink.verify === undefined ? {} : { verify: sink.verify.bind(sink) }),
  };
}
