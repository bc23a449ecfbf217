import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatWord, parseWord } from './holder-message.ts';

test('a word is a line with the version, and anything else says why it is none', () => {
  assert.equal(formatWord('take'), 'holder/1 take\n');
  assert.equal(parseWord(formatWord('keep')), 'keep');
  assert.throws(
    () => parseWord('holder/2 take\n'),
    /speaks version 2 of the language of a holder, and this one 1/,
  );
  assert.throws(() => parseWord('holder/1 sing\n'), /unknown word/);
  for (const text of [
    '',
    'take\n',
    'holder/1 take',
    'holder/01 take\n',
    'holder/1 take\n\n',
    'holder/1 TAKE\n',
  ])
    assert.throws(() => parseWord(text), /does not speak/, JSON.stringify(text));
});
