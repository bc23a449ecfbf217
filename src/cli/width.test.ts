import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cutMiddle, cutTo, padTo, widthOf } from './width.ts';

test('East Asian characters and emoji take two columns, combining marks none', () => {
  assert.equal(widthOf('模型'), 4);
  assert.equal(widthOf('👩‍🔬'), 2);
  assert.equal(widthOf('e\u0301'), 1);
  assert.equal(padTo('模型', 6), '模型  ');
});

test('a text is cut between characters as people see them, and never wider than asked', () => {
  assert.equal(cutTo('registry.example.com/a', 10), 'registry.…');
  assert.equal(cutTo('模型模型', 6), '模型…');
  assert.equal(cutTo('short', 5), 'short');
  assert.equal(cutMiddle('registry.example.com/model:1', 14), 'regi…m/model:1');
  assert.equal(cutMiddle('模型模型', 6), '…模型');
  assert.equal(cutMiddle('short', 5), 'short');
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 40 }), (text, width) => {
      for (const cut of [cutTo, cutMiddle]) assert.ok(widthOf(cut(text, width)) <= width);
    }),
  );
});
