import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ociIndex } from '../../src/oci/manifest.ts';
import {
  answer,
  headers,
  ofBlob,
  ofManifest,
  once,
  openTestbed,
  type Rule,
  type Testbed,
} from '../support/registry/testbed.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

let bed: Testbed;

before(async () => {
  bed = await openTestbed();
});
after(async () => {
  await bed?.[Symbol.asyncDispose]();
});

type Row = readonly [what: string, rule: Rule, code: string, says?: RegExp];
const nowhere = `sha256:${'0'.repeat(64)}`;

const blobLies = (size: number): readonly Row[] => [
  [
    'says a length too great',
    ofBlob(headers({ 'content-length': `${size + 1}` })),
    'UNAVAILABLE',
    /announces/,
  ],
  [
    'says a length too small',
    ofBlob(headers({ 'content-length': `${size - 1}` })),
    'UNAVAILABLE',
    /announces/,
  ],
  ['says no length', ofBlob({ kind: 'chunked' }), 'OK'],
  ['sends too much', ofBlob({ kind: 'chunked', bytes: size + 1 }), 'UNAVAILABLE', /more than the \d+ bytes/],
  ['sends too little once', ofBlob(once({ kind: 'chunked', bytes: size - 1 })), 'OK'],
  ['sends wrong bytes', ofBlob({ kind: 'wrong-bytes' }), 'UNAVAILABLE', /have digest sha256:/],
  ['names another digest', ofBlob(headers({ 'docker-content-digest': nowhere })), 'OK'],
  ['names another type', ofBlob(headers({ 'content-type': 'text/html' })), 'OK'],
  ['says that it is compressed', ofBlob(headers({ 'content-encoding': 'gzip' })), 'OK'],
  ['does not go on where it was cut', ofBlob(once({ kind: 'cut', after: 1000 }, { kind: 'no-range' })), 'OK'],
  [
    'goes on elsewhere than where it was cut',
    ofBlob(once({ kind: 'cut', after: 1000 }, headers({ 'content-range': `bytes 10-${size - 1}/${size}` }))),
    'OK',
  ],
  [
    'goes on with wrong bytes',
    ofBlob(once({ kind: 'cut', after: 1000 }, { kind: 'wrong-bytes' })),
    'UNAVAILABLE',
    /have digest sha256:/,
  ],
  ['has nothing after the cut', ofBlob(once({ kind: 'cut', after: 1000 }, answer(416))), 'OK'],
  ['answers 401', ofBlob(answer(401)), 'UNAUTHENTICATED', /needs a credential/],
  ['answers 403', ofBlob(answer(403)), 'PERMISSION_DENIED', /answered 403/],
  ['answers 404', ofBlob(answer(404)), 'NOT_FOUND', /does not exist.*404/],
  ['answers 500 once', ofBlob(once(answer(500))), 'OK'],
  ['answers 503 twice', ofBlob(once(answer(503), answer(503))), 'OK'],
  ['answers no HTTP once', ofBlob(once({ kind: 'raw', text: 'hello\r\n\r\n' })), 'OK'],
];

const manifestLies: readonly Row[] = [
  [
    'names another digest',
    ofManifest(headers({ 'docker-content-digest': nowhere }), 'HEAD'),
    'NOT_FOUND',
    /does not exist/,
  ],
  [
    'sends wrong bytes',
    ofManifest({ kind: 'wrong-bytes' }, 'GET'),
    'UNAVAILABLE',
    /sent sha256:\w+ as sha256:/,
  ],
  [
    'says a length too great',
    ofManifest(headers({ 'content-length': '4000' }), 'HEAD'),
    'UNAVAILABLE',
    /descriptor says 4000/,
  ],
  [
    'says a length too small',
    ofManifest(headers({ 'content-length': '100' }), 'HEAD'),
    'UNAVAILABLE',
    /more than the 100 bytes/,
  ],
  [
    'says a length of 5 MiB',
    ofManifest(headers({ 'content-length': '5242880' }), 'HEAD'),
    'FAILED_PRECONDITION',
    /4 MiB/,
  ],
  [
    'says nothing to HEAD',
    ofManifest(headers({ 'content-length': undefined, 'docker-content-digest': undefined }), 'HEAD'),
    'OK',
  ],
  ['knows no HEAD', ofManifest(answer(405), 'HEAD'), 'OK'],
  [
    'calls it an index',
    ofManifest(headers({ 'content-type': ociIndex })),
    'FAILED_PRECONDITION',
    /served as .*index.* calls itself/,
  ],
  [
    'sends a web page',
    ofManifest(headers({ 'content-type': 'text/html', 'docker-content-digest': undefined })),
    'UNAVAILABLE',
    /web page/,
  ],
  ['answers 401', ofManifest(answer(401)), 'UNAUTHENTICATED', /needs a credential/],
  ['answers 403', ofManifest(answer(403)), 'PERMISSION_DENIED', /answered 403/],
  ['answers 404', ofManifest(answer(404)), 'NOT_FOUND', /does not exist/],
  ['answers 404 to GET alone', ofManifest(answer(404), 'GET'), 'NOT_FOUND', /does not exist/],
  ['answers 500 once', ({ nth }) => (nth === 1 ? answer(500) : undefined), 'OK'],
];

for (const [what, size] of [
  ['a blob', 300 * KiB],
  ['a big blob', 5 * MiB],
] as const) {
  describe(`a registry that, asked for ${what},`, () => {
    for (const [name, rule, code, says] of blobLies(size)) {
      test(`${name}: ${code}`, async () => {
        const outcome = await bed.publishUnder(rule, size);
        assert.equal(outcome.code, code, outcome.text);
        assert.match(outcome.text, says ?? /^$/);
        if (code !== 'OK') assert.match(outcome.text, /wire-\d+|sha256:/);
      });
    }
  });
}

describe('a registry that, asked for a manifest,', () => {
  for (const [name, rule, code, says] of manifestLies) {
    test(`${name}: ${code}`, async () => {
      const outcome = await bed.publishUnder(rule, 1000);
      assert.equal(outcome.code, code, outcome.text);
      assert.match(outcome.text, says ?? /^$/);
    });
  }

  test('sends a header with another digest is judged by the bytes only', async () => {
    const lie = ofManifest(headers({ 'docker-content-digest': nowhere }));
    const outcome = await bed.publishUnder(lie, 1000, true);
    assert.equal(outcome.code, 'OK', outcome.text);
  });
});
