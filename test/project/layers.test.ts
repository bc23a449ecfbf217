import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { findThreadFaults, findViolations, parseImports } from '../support/project/layers.ts';

const source = fileURLToPath(new URL('../../src/', import.meta.url));

const files = globSync('**/*.ts', { cwd: source })
  .filter(path => !path.endsWith('.test.ts'))
  .map(path => ({ path, text: readFileSync(source + path, 'utf8') }));

test('imports point down, through interfaces, and in no circle', () => {
  assert.ok(files.length > 10);
  assert.deepEqual(findViolations(files), []);
});

test('access is confirmed in one file, so that nothing is read without it', () => {
  const confirming = files.filter(({ text }) => /\.confirm\(/.test(text)).map(({ path }) => path);
  assert.deepEqual(confirming, ['volume/access/admitted-content.ts']);
});

test('no thread loads native code, or leaves work on files to the pool: neither may be under way when it ends', () => {
  assert.ok(files.some(({ path }) => path.endsWith('worker.ts')));
  assert.deepEqual(findThreadFaults(files), []);
  const planted = [
    { path: 'unpack/worker.ts', text: "import { a } from './a.ts';\nimport { d } from './d.ts';\n" },
    { path: 'unpack/a.ts', text: "import type { B } from './b.ts';\nimport { c } from '../util/c.ts';\n" },
    { path: 'unpack/b.ts', text: "import koffi from 'koffi';\n" },
    {
      path: 'unpack/d.ts',
      text: "import {\n  createReadStream,\n  readSync,\n  type Stats,\n} from 'node:fs';\n",
    },
    {
      path: 'util/c.ts',
      text: "import koffi, {\n  type Func,\n} from 'koffi';\nimport { open } from 'node:fs/promises';\n",
    },
  ];
  assert.deepEqual(findThreadFaults(planted), [
    'unpack/worker.ts loads unpack/d.ts, which leaves work on files to the pool by createReadStream',
    'unpack/worker.ts loads util/c.ts, which loads native code',
    'unpack/worker.ts loads util/c.ts, which leaves work on files to the pool',
  ]);
});

test('a planted violation of each rule is found', () => {
  const planted = (path: string, text: string): readonly string[] => findViolations([{ path, text }]);
  assert.deepEqual(planted('util/a.ts', "import type { B } from '../oci/b.ts';\n"), [
    'util/a.ts imports ../oci/b.ts: imports point down, and oci is above util',
  ]);
  assert.deepEqual(planted('store/deep/a.ts', "export { b } from '../../unpack/b.ts';\n"), [
    'store/deep/a.ts imports ../../unpack/b.ts: store and unpack are on one floor',
  ]);
  assert.deepEqual(planted('registry/http/a.ts', "import { b } from '../api/b.ts';\n"), [
    'registry/http/a.ts imports ../api/b.ts: imports point down, and registry/api is above registry/http',
  ]);
  assert.deepEqual(planted('registry/a.ts', "import { b } from './download/connection.ts';\n"), [
    'registry/a.ts imports ./download/connection.ts: only registry/download/downloads.ts may be imported from outside',
  ]);
  assert.deepEqual(planted('volume/a.ts', "const { b } = await import('../store/b.ts');\n"), [
    'volume/a.ts imports ../store/b.ts: volume/ knows adapters by their interfaces only',
  ]);
  assert.deepEqual(planted('oci/a.ts', "import { readFile } from 'node:fs/promises';\n"), [
    'oci/a.ts imports node:fs/promises: oci/ may import only what is pure',
  ]);
  assert.deepEqual(planted('kube/a.ts', "import { Watch } from '@kubernetes/client-node';\n"), [
    'kube/a.ts imports @kubernetes/client-node: only by import(), it is slow to load',
  ]);
  assert.deepEqual(planted('kube/a.ts', "import { Watch } from './kubeconfig.ts';\n"), [
    'kube/a.ts imports ./kubeconfig.ts: only by import(), it is slow to load',
  ]);
  assert.deepEqual(planted('daemon.ts', "import './misc/b.ts';\n"), [
    'daemon.ts imports ./misc/b.ts: no floor has misc',
  ]);
  assert.deepEqual(planted('store/a.ts', "import { type B } from '../ports/b.ts';\n"), [
    'store/a.ts imports ../ports/b.ts: ports/ has types only: import type',
  ]);
  assert.deepEqual(planted('ports/a.ts', "import { type B } from '../oci/b.ts';\n"), [
    'ports/a.ts imports ../oci/b.ts: ports/ has types only, and imports nothing else',
  ]);
  assert.deepEqual(planted('ports/a.ts', "import type { B } from '../store/b.ts';\n"), [
    'ports/a.ts imports ../store/b.ts: imports point down, and store is above ports',
  ]);
  assert.deepEqual(planted('ports/a.ts', 'export const a = 1;\n'), ['ports/a.ts exports what is no type']);
  const circle = [
    { path: 'oci/a.ts', text: "import type { B } from './b.ts';\n" },
    { path: 'oci/b.ts', text: "import {\n  type A,\n} from './a.ts';\n" },
  ];
  assert.deepEqual(findViolations(circle), ['a cycle: oci/a.ts -> oci/b.ts -> oci/a.ts']);
});

test('what the rules allow is let through', () => {
  const allowed = [
    { path: 'main.ts', text: "import { serve } from './cli/serve.ts';\nawait import('./daemon.ts');\n" },
    { path: 'cli/serve.ts', text: "import type { Publishing } from '../volume/publish.ts';\n" },
    { path: 'volume/publish.ts', text: "import type { Digest } from '../oci/digest.ts';\n" },
    { path: 'store/blobs/blobs.ts', text: "import type { Sink } from '../../ports/registry.ts';\n" },
    {
      path: 'ports/registry.ts',
      text: "import type { Digest } from '../oci/digest.ts';\nexport type A = 1;\n",
    },
    { path: 'oci/digest.ts', text: "import { posix } from 'node:path';\nimport './name.ts';\n" },
    { path: 'kube/kubeconfig.ts', text: "export { Watch } from '@kubernetes/client-node';\n" },
    { path: 'kube/a.ts', text: "const { Watch } = await import('./kubeconfig.ts');\n" },
  ];
  assert.deepEqual(findViolations(allowed), []);
});

test('imports are read in every form, and not out of comments', () => {
  const text = `/** import { no } from 'no'; */
import a, { type B } from 'one';
import {
  c,
  d,
} from "two";
import 'three';
import * as e from 'four';
export * from 'five';
export const from = 'not this';
// import 'no';
const f = (await import('six')).f;
new Worker(new URL('./seven.ts', import.meta.url));
new URL('https://not.this/');
`;
  assert.deepEqual(
    parseImports(text).map(({ specifier, lazy }) => `${specifier}${lazy ? ' lazily' : ''}`),
    ['one', 'two', 'three', 'four', 'five', 'six lazily', './seven.ts lazily'],
  );
});
