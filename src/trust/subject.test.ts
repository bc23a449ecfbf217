import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { GeneralName } from './certificate-form.ts';
import { isSubject, parseSubjectPattern } from './subject.ts';

const email = (text: string): GeneralName => ({ kind: 'email', text });
const uri = (text: string): GeneralName => ({ kind: 'uri', text });

test('an address is an address to the letter, and no other kind of name', () => {
  const subject = { kind: 'email', text: 'jane@example.com' } as const;
  assert.equal(isSubject(subject, [email('eve@example.com'), email('jane@example.com')]), true);
  for (const name of [email('Jane@example.com'), email('jane@example.com.org'), uri('jane@example.com')]) {
    assert.equal(isSubject(subject, [name]), false);
  }
  assert.equal(isSubject(subject, []), false);
});

test('an exact subject is an address, a URI or a user name, and no host', () => {
  const subject = { kind: 'exact', text: 'https://a.example/b' } as const;
  assert.equal(isSubject(subject, [uri('https://a.example/b')]), true);
  assert.equal(isSubject(subject, [{ kind: 'otherName', text: 'https://a.example/b' }]), true);
  assert.equal(isSubject(subject, [uri('https://a.example/b/')]), false);
  assert.equal(isSubject({ kind: 'exact', text: 'a.example' }, [{ kind: 'dns', text: 'a.example' }]), false);
});

describe('a pattern', () => {
  const matches = (pattern: string, text: string): boolean =>
    isSubject(parseSubjectPattern(pattern), [uri(text)]);

  test('is of the whole subject', () => {
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

  test('that is none by itself is none', () => {
    for (const pattern of ['(', 'a)|(?:b', '[', '*', '\\']) {
      assert.throws(() => parseSubjectPattern(pattern), SyntaxError, pattern);
    }
  });

  test('that takes for ever is given up', () => {
    const subject = parseSubjectPattern('(a+)+b');
    const begun = performance.now();
    assert.throws(() => isSubject(subject, [uri('a'.repeat(100))]), /timed out/);
    assert.ok(performance.now() - begun < 5000);
    assert.equal(isSubject(parseSubjectPattern('a+'), [uri('a'.repeat(100))]), true);
  });

  test('is not applied to a subject of more than 1,024 characters', () => {
    assert.equal(matches('a+', 'a'.repeat(1024)), true);
    assert.equal(matches('a+', 'a'.repeat(1025)), false);
  });
});
