import { runInNewContext } from 'node:vm';
import type { GeneralName } from './certificate-form.ts';

/** Whom a certificate must be for. `email` is containers' subjectEmail, an address and no other kind of name. */
export type Subject =
  | { readonly kind: 'email' | 'exact'; readonly text: string }
  | { readonly kind: 'pattern'; readonly text: string; readonly pattern: RegExp };

/** Names are chosen by signers; patterns can take a time that is exponential in their length. */
const maxSubjectLength = 1024;
const maxMilliseconds = 100;

/**
 * A regular expression of the whole subject, with JavaScript's syntax (flag u).
 *
 * @throws SyntaxError for anything else: a pattern that is none by itself could escape the anchors.
 */
export function parseSubjectPattern(text: string): Subject {
  const { source } = new RegExp(text, 'u');
  return { kind: 'pattern', text, pattern: new RegExp(`^(?:${source})$`, 'u') };
}

/** Whether one of a certificate's names is the subject. @throws Error if the pattern takes longer than 100 ms. */
export function isSubject(subject: Subject, names: readonly GeneralName[]): boolean {
  switch (subject.kind) {
    case 'email':
      return names.some(({ kind, text }) => kind === 'email' && text === subject.text);
    case 'exact':
      return subjectsOf(names).includes(subject.text);
    case 'pattern': {
      const texts = subjectsOf(names).filter(text => text.length <= maxSubjectLength);
      const context = { texts, pattern: subject.pattern };
      const timeout = { timeout: maxMilliseconds };
      return runInNewContext('texts.some(text => pattern.test(text))', context, timeout) === true;
    }
  }
}

/** A host name is nobody. */
function subjectsOf(names: readonly GeneralName[]): readonly string[] {
  return names.filter(({ kind }) => kind !== 'dns').map(({ text }) => text);
}
