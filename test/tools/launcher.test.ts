import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { toLauncher } from './launcher.ts';

const source = '#!/usr/bin/env node\nlet view = 1;\n';

test('on an old Node the built program says in one line what it needs', async () => {
  await using directory = await temporaryDirectory();
  writeFileSync(join(directory.path, 'main.mjs'), toLauncher(source));
  writeFileSync(join(directory.path, 'program.js'), "throw new Error('loaded');\n");
  writeFileSync(
    join(directory.path, 'old.cjs'),
    "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } });\n",
  );
  const args = ['--require', join(directory.path, 'old.cjs'), join(directory.path, 'main.mjs'), 'version'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.equal(status, 1);
  assert.equal(stdout, '');
  assert.match(stderr, /^oci-artifact-csi needs Node 26 or later, but \S+ is Node 20\.20\.2; [^\n]+\n$/);
});

test('on a new Node it is the program, and the first line is that of the source', async () => {
  await using directory = await temporaryDirectory();
  const launcher = toLauncher(source);
  assert.match(launcher, /^#!\/usr\/bin\/env node\n/);
  writeFileSync(join(directory.path, 'main.mjs'), launcher);
  for (const name of ['program', 'daemon'])
    writeFileSync(join(directory.path, `${name}.js`), `console.log('${name}');\n`);
  const run = (command: string): readonly unknown[] => {
    const args = [join(directory.path, 'main.mjs'), command];
    const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    return [status, stdout];
  };
  assert.deepEqual(run('serve'), [0, 'daemon\n']);
  assert.deepEqual(run('ls'), [0, 'program\n']);
});
