import { linkSync } from 'node:fs';
import { encodeName } from '../../util/name.ts';
import { answerQuestions } from '../../util/thread.ts';

/** Answers which of them could not be made, by their index. Nor can a path have a NUL, which stands between all of them. */
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
