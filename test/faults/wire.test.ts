import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { ociIndex } from '../../src/oci/media-type.ts';
import { publishRequest, startDaemon, type TestDaemon, type TestNode, testNode } from '../support/daemon.ts';
import type { Fault } from '../support/fault.ts';
import { type Asked, type FaultyRegistry, openFaultyRegistry } from '../support/faulty-registry.ts';
import { type Outcome, outcomeOf } from '../support/outcome.ts';
import { type Shown, shownOf, verifyBlobs, verifyGone, verifyVolume } from '../support/volume.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

type Rule = (asked: Asked) => Fault | undefined;

let registry: FaultyRegistry;
let node: TestNode;
let daemon: TestDaemon;
/** What goes wrong in each repository, so that tests can run side by side. */
const rules = new Map<string, Rule>();

before(async () => {
  registry = await openFaultyRegistry();
  registry.fault(asked => rules.get(/^\/v2\/([^/]+)\//.exec(asked.path)?.[1] ?? '')?.(asked));
  node = await testNode([registry.host]);
  daemon = await startDaemon(node, { flags: { '--max-parallel-downloads': '32' } });
});
after(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await node?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
});

let repositories = 0;

/** An artifact of one file in a repository of its own. */
async function push(size: number) {
  const repository = `wire-${++repositories}`;
  const bytes = randomBytes(size);
  const pushed = await registry.push(repository, 'v1', [{ name: 'model.bin', bytes }]);
  const digest = pushed.layers[0]?.digest ?? '';
  const shown: Shown = shownOf([['model.bin', bytes]]);
  const asks = (): readonly Asked[] =>
    registry.asked.filter(({ method, path }) => method === 'GET' && path.endsWith(digest));
  return { ...pushed, repository, shown, asks };
}

/** Publishes while a rule holds. Whatever came of it, nothing wrong stays, and without the rule it is published. */
async function publishUnder(
  rule: Rule,
  size: number,
  byDigest = false,
): Promise<Outcome & { readonly asks: readonly Asked[] }> {
  const { repository, reference, digest, shown, asks } = await push(size);
  rules.set(repository, rule);
  const request = await publishRequest(node, {
    reference: byDigest ? `${registry.host}/${repository}@${digest}` : reference,
  });
  const outcome = await outcomeOf(daemon.csi.NodePublishVolume(request));
  const asked = asks();
  verifyBlobs(node.stateDir);
  if (outcome.code !== 'OK') verifyGone(request.target_path);
  rules.delete(repository);
  await daemon.csi.NodePublishVolume(request);
  verifyVolume(request.target_path, shown);
  await daemon.csi.NodeUnpublishVolume(request);
  await daemon.artifacts.Prune({});
  return { ...outcome, asks: asked };
}

const ofBlob =
  (fault: Fault | ((nth: number) => Fault | undefined)): Rule =>
  ({ path, nth }) => {
    if (!path.includes('/blobs/')) return undefined;
    return typeof fault === 'function' ? fault(nth) : fault;
  };
const ofManifest =
  (fault: Fault, only?: 'HEAD' | 'GET'): Rule =>
  ({ path, method }) =>
    path.includes('/manifests/') && (only === undefined || method === only) ? fault : undefined;
const once =
  (...faults: readonly Fault[]) =>
  (nth: number): Fault | undefined =>
    faults[nth - 1];
const headers = (changed: Record<string, string | undefined>): Fault => ({
  kind: 'headers',
  headers: changed,
});
const answer = (status: number, retryAfter?: string): Fault => ({
  kind: 'status',
  status,
  ...(retryAfter === undefined ? {} : { retryAfter }),
});

describe('a connection that is cut', () => {
  for (const [way, size] of [
    ['shared', 3 * MiB],
    ['of its own', 6 * MiB],
  ] as const) {
    test(`after every 64 KiB of a blob on a connection ${way} brings each byte once`, async () => {
      const { code, asks } = await publishUnder(ofBlob({ kind: 'cut', after: 64 * KiB }), size);
      assert.equal(code, 'OK');
      assert.equal(asks.length, size / (64 * KiB));
      assert.deepEqual(
        asks.map(({ headers }) => headers.range),
        asks.map((_, nth) => (nth === 0 ? undefined : `bytes=${nth * 64 * KiB}-`)),
      );
    });
  }

  test('once, at any multiple of 64 KiB, is taken up there', async () => {
    const cuts = Array.from({ length: 49 }, (_, nth) => nth * 64 * KiB);
    while (cuts.length > 0) {
      await Promise.all(
        cuts.splice(0, 8).map(async after => {
          const { code, asks } = await publishUnder(ofBlob(once({ kind: 'cut', after })), 3 * MiB + 1);
          assert.equal(code, 'OK');
          const range = after === 0 ? undefined : `bytes=${after}-`;
          assert.deepEqual(
            asks.map(({ headers }) => headers.range),
            [undefined, range],
          );
        }),
      );
    }
  });
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
  ['answers 403', ofBlob(answer(403)), 'PERMISSION_DENIED', /not allowed/],
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
  ['answers 403', ofManifest(answer(403)), 'PERMISSION_DENIED', /not allowed/],
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
        const outcome = await publishUnder(rule, size);
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
      const outcome = await publishUnder(rule, 1000);
      assert.equal(outcome.code, code, outcome.text);
      assert.match(outcome.text, says ?? /^$/);
    });
  }

  test('names another digest than the one that was asked for: UNAVAILABLE', async () => {
    const lie = ofManifest(headers({ 'docker-content-digest': nowhere }));
    const outcome = await publishUnder(lie, 1000, true);
    assert.deepEqual(
      [outcome.code, /says it is sha256:0/.test(outcome.text)],
      ['UNAVAILABLE', true],
      outcome.text,
    );
  });
});

describe('a registry that asks for patience', () => {
  for (const [name, rule] of [
    ['manifest', ofManifest(answer(429, '2'), 'HEAD')],
    ['blob', ofBlob(answer(429, '2'))],
  ] as const) {
    test(`of 2 s for a ${name} gets it`, async () => {
      const { code, ms } = await publishUnder(asked => (asked.nth === 1 ? rule(asked) : undefined), 1000);
      assert.equal(code, 'OK');
      assert.ok(ms >= 2000, `${ms} ms`);
    });
  }
});

describe('a registry that stays ill', { concurrency: true }, () => {
  const ills: readonly (readonly [string, Fault, RegExp])[] = [
    ['answers 429', answer(429, '1'), /answered 429/],
    ['answers 500', answer(500), /answered 500/],
    ['answers 503', answer(503), /answered 503/],
    ['answers no HTTP', { kind: 'raw', text: 'hello\r\n\r\n' }, /cannot be reached|mid-answer/],
    ['cuts every connection', { kind: 'cut', after: 0 }, /mid-answer/],
  ];
  for (const [name, fault, says] of ills) {
    for (const [of, rule] of [
      ['manifests', ofManifest(fault)],
      ['blobs', ofBlob(fault)],
    ] as const) {
      test(`and ${name} for ${of} is UNAVAILABLE after 30 s`, async () => {
        const { code, text, ms } = await publishUnder(rule, 300 * KiB);
        assert.equal(code, 'UNAVAILABLE', text);
        assert.match(text, says);
        assert.match(text, /gave up after \d+ tries/);
        assert.ok(ms > 25_000 && ms < 40_000, `${ms} ms`);
      });
    }
  }

  test('and stalls: the call ends ABORTED near its deadline, and the next one joins', async () => {
    const { reference, repository, shown, asks } = await push(5 * MiB);
    rules.set(repository, ofBlob(once({ kind: 'stall', after: 2 * MiB })));
    const request = await publishRequest(node, { reference });
    const first = await outcomeOf(daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 4000 }));
    assert.equal(first.code, 'ABORTED', first.text);
    assert.match(first.text, /pulled 2\.0 MiB of 5\.0 MiB \((39|40) %\), 0 of 1 layers/);
    assert.ok(first.ms > 2500 && first.ms < 3900, `${first.ms} ms`);
    verifyGone(request.target_path);
    await daemon.csi.NodePublishVolume(request);
    verifyVolume(request.target_path, shown);
    assert.deepEqual(
      asks().map(({ headers }) => headers.range),
      [undefined, `bytes=${2 * MiB}-`],
    );
  });
});
