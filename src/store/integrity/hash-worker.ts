import { createHash } from 'node:crypto';
import { closeSync, readlinkSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { Algorithm } from '../../oci/digest.ts';
import { openRegular } from '../../util/regular-file.ts';
import { type AskThread, answerQuestions } from '../../util/thread.ts';

export type HashQuestion = {
  readonly path: string;
  readonly algorithm: Algorithm;
  readonly bytesPerSecond: number;
};
export type Hashed = { readonly size: number; readonly hex: string };

const step = 1024 * 1024;
const buffer = Buffer.allocUnsafe(step);

/** When the next byte may be read, for all files together. */
let next = 0;
let introduced: Promise<unknown> | undefined;

/** The kernel's ID of this thread, for setting its priority. */
function threadId(): number {
  return Number(basename(readlinkSync('/proc/thread-self')));
}

async function hashSlowly(question: HashQuestion, ask: AskThread, signal: AbortSignal): Promise<Hashed> {
  const { path, algorithm, bytesPerSecond } = question;
  await (introduced ??= ask(threadId()));
  const fd = openRegular(path);
  try {
    const hash = createHash(algorithm);
    for (let size = 0; ; ) {
      const bytes = readSync(fd, buffer, 0, step, size);
      if (bytes === 0) return { size, hex: hash.digest('hex') };
      hash.update(buffer.subarray(0, bytes));
      size += bytes;
      const now = performance.now();
      next = Math.max(next, now) + (1000 * bytes) / bytesPerSecond;
      if (next - now > 20)
        await sleep(next - now, undefined, { signal }); // small files share a pause
      else await nextTurn(undefined, { signal });
    }
  } finally {
    closeSync(fd);
  }
}

answerQuestions((question: HashQuestion, { call, signal }) => hashSlowly(question, call, signal));
