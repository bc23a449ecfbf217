import { RE2JS } from 're2js';
import type { GeneralName } from './certificate-form.ts';

/** Whom a certificate must be for. `email` is containers' subjectEmail, an address and no other kind of name. */
export type Subject =
  | { readonly kind: 'email' | 'exact'; readonly text: string }
  | { readonly kind: 'pattern'; readonly text: string; readonly pattern: RE2JS };

/** Names are chosen by signers. */
const maxSubjectLength = 1024;

/**
 * A regular expression of the whole subject, with the syntax of RE2, as cosign has it. Its engine takes
 * a time that is linear in the subject, whatever the expression is.
 *
 * @throws RE2JSSyntaxException, an Error, for anything else.
 */
export function parseSubjectPattern(text: string): Subject {
  return { kind: 'pattern', text, pattern: RE2JS.compile(text) };
}

/** Whether one of a certificate's names is the subject. */
export function isSubject(subject: Subject, names: readonly GeneralName[]): boolean {
  switch (subject.kind) {
    case 'email':
      return names.some(({ kind, text }) => kind === 'email' && text === subject.text);
    case 'exact':
      return subjectsOf(names).includes(subject.text);
    case 'pattern':
      return subjectsOf(names).some(
        text => text.length <= maxSubjectLength && subject.pattern.testExact(text),
      );
  }
}

/** A host name is nobody. */
function subjectsOf(names: readonly GeneralName[]): readonly string[] {
  return names.filter(({ kind }) => kind !== 'dns').map(({ text }) => text);
}
