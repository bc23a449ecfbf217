import type { DiskAmount } from '../ports/disk.ts';
import { answerQuestions } from '../util/thread.ts';
import { type UnpackJob, type UnpackQuestion, unpackLayer } from './job.ts';
import type { XattrBatch } from './xattr-batch.ts';

answerQuestions((job: UnpackJob, { call, signal }) => {
  const ask = (question: UnpackQuestion): Promise<unknown> => call(question);
  const means = {
    setXattrs: async (batch: XattrBatch) => (await ask({ kind: 'xattrs', batch })) as readonly string[],
    grow: async (more: DiskAmount, written: DiskAmount) => void (await ask({ kind: 'grow', more, written })),
    more: async (past: number) => (await ask({ kind: 'more', past })) as number,
  };
  return unpackLayer(job, means, signal);
});
