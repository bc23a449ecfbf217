import { answerQuestions } from '../util/thread.ts';
import { type UnpackJob, unpackLayer } from './job.ts';

answerQuestions((job: UnpackJob, { call, signal }) =>
  unpackLayer(job, async batch => (await call(batch)) as readonly string[], signal),
);
