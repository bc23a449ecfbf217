import { answerQuestions } from '../../util/thread.ts';
import { answer } from './receiver.ts';

answerQuestions(answer);
