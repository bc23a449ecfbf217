import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findModule, findVersion } from './version.ts';

test('the version of a package is that of the longest module that has it', () => {
  const modules = 'module a\n\nrequire (\n\tb.org/c v1.2.3\n\tb.org/c/d v0.4.0-rc.1 // indirect\n)\n';
  assert.equal(findModule(modules, 'b.org/c/cmd/x'), '1.2.3');
  assert.equal(findModule(modules, 'b.org/c/d/cmd/x'), '0.4.0-rc.1');
  assert.equal(findModule(modules, 'b.org/cc'), undefined);
});

test('a version is found in what a program says of itself', () => {
  assert.equal(findVersion('curl 7.88.1 (x86_64-pc-linux-gnu) libcurl/7.88.1'), '7.88.1');
  assert.equal(findVersion('tar (GNU tar) 1.34\nCopyright'), '1.34');
  assert.equal(findVersion('*** Zstandard CLI (64-bit) v1.5.4, by Yann Collet ***'), '1.5.4');
  assert.equal(findVersion('none'), 'unknown');
});
