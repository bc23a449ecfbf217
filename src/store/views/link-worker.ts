import { linkSync } from 'node:fs';
import { encodeName } from '../../util/name.ts';
import { answerQuestions } from '../../util/thread.ts';

/** Answers the indexes of the links that could not be made. A NUL separates paths, which cannot contain one. */
function makeLinks(paths: string): readonly number[] {
  const failed: number[] = [];
  const each = paths.split('\0');
  for (let at = 0; at + 1 < each.length; at += 2) {
    try {
      linkSync(each[at] ?? '', encodeName(each[at + 1] ?? ''));
    } catch {
      failed.push(at / 2);
    }
  }
  return failed;
}

answerQuestions(makeLinks);
