import { answerQuestions } from '../util/thread.ts';
import { unpackLayer } from './job.ts';

answerQuestions(unpackLayer);
