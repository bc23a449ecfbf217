import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toDigest } from './digest.ts';
import type { LayerPlan } from './plan.ts';
import { canTarsReach } from './tar-reach.ts';

const digest = toDigest('sha256', 'a'.repeat(64));
const descriptor = { mediaType: '', digest, size: 1, annotations: {} };
const file = (name: string): LayerPlan => ({ form: 'file', name, label: name, descriptor });
const tar = (path: string, form: 'unpacked' | 'detected' = 'unpacked'): LayerPlan => ({
  form,
  name: path,
  label: path,
  descriptor,
  into: { path: path.split('/').filter(part => part !== ''), packed: false },
});

const rows: readonly (readonly [title: string, layers: readonly LayerPlan[], path: string, can: boolean])[] =
  [
    ['no layer', [], 'a', false],
    ['files only', [file('a/b'), file('c')], 'a/x', false],
    ['a tar at the root', [tar(''), file('c')], 'x', true],
    ['a layer at the root that may be a tar', [tar('', 'detected')], 'x', true],
    ['a tar beside it', [tar('weights')], 'wieghts', false],
    ['a tar beside it, whose name begins the same', [tar('weights')], 'weights-2/x', false],
    ['the tar itself', [tar('weights')], 'weights', true],
    ['a path in the tar', [tar('weights')], 'weights/v1/x', true],
    ['a directory above the tar', [tar('a/b/c')], 'a/b', true],
    [
      'a file in the directory of the tar, whose links may lead it elsewhere',
      [tar('a'), file('./a/l/x')],
      'x',
      true,
    ],
    ['a tar in the directory of another', [tar('a'), tar('a/l')], 'x', true],
    ['two tars side by side', [tar('a'), tar('b'), file('c/d')], 'x', false],
  ];

for (const [title, layers, path, can] of rows) {
  test(`the path ${path}, and ${title}: ${can ? 'the tars decide' : 'the manifest decides'}`, () => {
    assert.equal(canTarsReach(layers, path.split('/')), can);
  });
}
