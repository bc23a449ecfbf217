import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { GeneralName } from './certificate-form.ts';
import { isSubject, parseSubjectPattern } from './subject.ts';

const email = (text: string): GeneralName => ({ kind: 'email', text });
const uri = (text: string): GeneralName => ({ kind: 'uri', text });

test('an email address must match exactly, and no other kind of name counts', () => {
  const subject = { kind: 'email', text: 'jane@example.com' } as const;
  assert.equal(isSubject(subject, [email('eve@example.com'), email('jane@example.com')]), true);
  for (const name of [email('Jane@example.com'), email('jane@example.com.org'), uri('jane@example.com')]) {
    assert.equal(isSubject(subject, [name]), false);
  }
  assert.equal(isSubject(subject, []), false);
});

test('an exact subject is an email address, a URI or a user name, and not a host', () => {
  const subject = { kind: 'exact', text: 'https://a.example/b' } as const;
  assert.equal(isSubject(subject, [uri('https://a.example/b')]), true);
  assert.equal(isSubject(subject, [{ kind: 'otherName', text: 'https://a.example/b' }]), true);
  assert.equal(isSubject(subject, [uri('https://a.example/b/')]), false);
  assert.equal(isSubject({ kind: 'exact', text: 'a.example' }, [{ kind: 'dns', text: 'a.example' }]), false);
});

describe('a pattern', () => {
  const matches = (pattern: string, text: string): boolean =>
    isSubject(parseSubjectPattern(pattern), [uri(text)]);

  test('must match the whole subject', () => {
    assert.equal(matches('https://a\\.example/.*', 'https://a.example/b'), true);
    assert.equal(matches('a|b', 'a'), true);
    for (const text of [
      'xhttps://a.example/b',
      'https://aXexample/b',
      'https://a.example/b\nx',
      'ab',
      'ba',
    ]) {
      assert.equal(matches('https://a\\.example/.*|a|b', text), false, JSON.stringify(text));
    }
  });

  test('that is invalid, or not supported by RE2, is refused', () => {
    for (const pattern of ['(', 'a)|(?:b', '[', '*', '\\', '(?=a)', '(a)\\1']) {
      assert.throws(() => parseSubjectPattern(pattern), /error parsing regexp/, pattern);
    }
  });

  test('takes time linear in the subject', () => {
    const before = process.threadCpuUsage();
    for (const pattern of ['(a+)+b', '(a|a)*b', '(a?){500}a{500}b', '((a{1,30}){1,30})b']) {
      assert.equal(matches(pattern, 'a'.repeat(1024)), false);
    }
    assert.ok(process.threadCpuUsage(before).user < 2_000_000);
  });

  test('matches as in JavaScript, where the syntax is the same', () => {
    const atom = fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', 'a\\.b', '\\d');
    const { pattern } = fc.letrec<{ pattern: string }>(tie => ({
      pattern: fc.oneof(
        { depthSize: 'small' },
        atom,
        fc.tuple(tie('pattern'), tie('pattern')).map(([left, right]) => `${left}${right}`),
        fc.tuple(tie('pattern'), tie('pattern')).map(([left, right]) => `(${left}|${right})`),
        fc
          .tuple(tie('pattern'), fc.constantFrom('*', '+', '?', '*?', '{2}', '{1,3}'))
          .map(([one, many]) => `(?:${one})${many}`),
      ),
    }));
    const texts = fc.string({ unit: fc.constantFrom('a', 'b', '.', '1', '\n'), maxLength: 12 });
    fc.assert(
      fc.property(pattern, fc.array(texts, { minLength: 4, maxLength: 8 }), (written, subjects) => {
        const whole = new RegExp(`^(?:${written})$`, 'u');
        for (const text of subjects) assert.equal(matches(written, text), whole.test(text));
      }),
      { numRuns: 500 },
    );
  });

  test('is not applied to a subject of more than 1,024 characters', () => {
    assert.equal(matches('a+', 'a'.repeat(1024)), true);
    assert.equal(matches('a+', 'a'.repeat(1025)), false);
  });
});
