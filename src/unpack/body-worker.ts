import { answerQuestions } from '../util/thread.ts';
import { type BodyBatch, writeBatch } from './body-batch.ts';

/** Batches to write into the directory of a layer. */
export type BodyWork = { readonly into: string; readonly batch: BodyBatch };

answerQuestions(({ into, batch }: BodyWork) => writeBatch(into, batch));
