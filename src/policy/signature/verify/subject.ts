import { RE2JS } from 're2js';
import type { GeneralName } from './certificate-form.ts';

/**
 * The required subject of a certificate. `email` is containers' subjectEmail: an email address and no other kind of
 * name.
 */
export type Subject =
  | { readonly kind: 'email' | 'exact'; readonly text: string }
  | { readonly kind: 'pattern'; readonly text: string; readonly pattern: RE2JS };

/** Signers choose these names. */
const maxSubjectLength = 1024;

/**
 * Compiles a regular expression for the whole subject, with the syntax of RE2, as in cosign. Its engine takes time
 * linear in the subject, whatever the expression.
 *
 * @throws RE2JSSyntaxException, an Error, if it is invalid.
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

/** A host name does not identify a signer. */
function subjectsOf(names: readonly GeneralName[]): readonly string[] {
  return names.filter(({ kind }) => kind !== 'dns').map(({ text }) => text);
}
