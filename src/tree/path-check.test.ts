import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTreePath } from '../oci/tree-path.ts';
import { createPathCheck } from './path-check.ts';
import type { TocEntry } from './toc.ts';

const attributes = { mode: 0o644, uid: 0, gid: 0, mtime: 0n };
const directory = (path: string): TocEntry => ({ kind: 'directory', path, ...attributes });
const link = (path: string): TocEntry => ({ kind: 'link', path, target: 'x' });

for (const [name, entries, expected] of [
  ['a directory there, and what is in it', [directory('w/m/'), link('w/m/one')], true],
  ['what implies the directory', [link('./w/m/d/two')], true],
  ['the directories on the way', [directory('./'), directory('w'), directory('w/m')], true],
  ['the directories on the way alone', [directory('./'), directory('w')], false],
  ['what is beside it, too', [link('w/m/one'), link('w/beside')], false],
  ['no directory there', [link('w/m')], false],
  ['no directory on the way', [link('w'), link('w/m/one')], false],
  ['names that go on', [link('w/model')], false],
  ['nothing', [], false],
] as const) {
  test(`a tar with ${name} is ${expected ? '' : 'not '}all at a path`, () => {
    const check = createPathCheck(['w', 'm']);
    for (const { path, kind } of entries) check.add(parseTreePath(path, 'layer 1'), kind);
    assert.equal(check.isBelow(), expected);
  });
}
