import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noon } from '../../test/support/node/samples.ts';
import type { AskedVolume } from '../ports/failing-volume.ts';
import { ArtifactError } from '../util/error.ts';
import { createFailingVolumes } from './failing-volumes.ts';

const minute = 60_000;
const gone = new ArtifactError('not-found', 'r/gone:2 does not exist');
const down = new ArtifactError('unavailable', 'r does not answer');

const pod = { namespace: 'shop', name: 'web-0', uid: 'u' };
const asked = (name: string, changes: Partial<AskedVolume> = {}): AskedVolume => ({
  targetPath: `/pods/u/${name}/mount`,
  reference: 'r/gone:2',
  secrets: {},
  pod,
  ...changes,
});
const pathOf = (name: string): string => asked(name).targetPath;

/** The list, and a clock that the test moves. It starts at noon. */
function openList() {
  let passed = 0;
  const failing = createFailingVolumes({ elapsed: () => 1_000 + passed, date: () => noon + passed });
  const pass = (ms: number): void => void (passed += ms);
  return { failing, pass, paths: () => failing.list().map(({ targetPath }) => targetPath) };
}

test('a volume that fails again is counted, and has its first time and its last error', () => {
  const { failing, pass } = openList();
  failing.failed(asked('a'), gone);
  pass(2 * minute);
  failing.failed(asked('a', { reference: 'r/gone:3' }), down);
  assert.deepEqual(failing.list(), [
    {
      targetPath: pathOf('a'),
      pod,
      reference: 'r/gone:3',
      code: 'unavailable',
      message: 'r does not answer',
      since: noon,
      failedAt: noon + 2 * minute,
      failures: 2,
    },
  ]);
});

test('a volume without a known pod has none', () => {
  const { failing } = openList();
  const { pod: _, ...podless } = asked('a');
  failing.failed(podless, gone);
  assert.ok(failing.list().every(volume => !('pod' in volume)));
  assert.equal(failing.list().length, 1);
});

test('volumes are listed in the order in which they began to fail, until they end', () => {
  const { failing, pass, paths } = openList();
  for (const name of ['a', 'b', 'c']) {
    failing.failed(asked(name), gone);
    pass(1);
  }
  failing.failed(asked('a'), gone);
  assert.deepEqual(paths(), ['a', 'b', 'c'].map(pathOf));
  failing.ended(pathOf('b'));
  failing.ended(pathOf('nobody'));
  assert.deepEqual(paths(), ['a', 'c'].map(pathOf));
  failing.failed(asked('b'), gone);
  assert.deepEqual(
    failing.list().map(({ failures }) => failures),
    [2, 1, 1],
  );
});

test('a volume is forgotten five minutes after its last failure, and begins anew', () => {
  const { failing, pass, paths } = openList();
  failing.failed(asked('a'), gone);
  failing.failed(asked('b'), gone);
  pass(4 * minute);
  failing.failed(asked('b'), gone);
  pass(minute);
  assert.deepEqual(paths(), ['a', 'b'].map(pathOf));
  pass(1);
  assert.deepEqual(paths(), [pathOf('b')]);
  pass(4 * minute);
  failing.failed(asked('b'), gone);
  assert.deepEqual(
    failing.list().map(({ failures, since }) => [failures, since]),
    [[1, noon + 9 * minute + 1]],
  );
});

test('of more than a thousand, those that failed least recently are dropped', () => {
  const { failing, paths } = openList();
  for (let nth = 0; nth < 1_000; nth++) failing.failed(asked(`${nth}`), gone);
  failing.failed(asked('0'), gone);
  failing.failed(asked('more'), gone);
  const kept = paths();
  assert.equal(kept.length, 1_000);
  assert.deepEqual(
    ['0', '1', '2', 'more'].map(name => kept.includes(pathOf(name))),
    [true, false, true, true],
  );
});

test('long texts are cut, and half a character is replaced', () => {
  const { failing } = openList();
  failing.failed(
    asked('a', { reference: 'ü'.repeat(5_000) }),
    new ArtifactError('internal', 'x'.repeat(9_000)),
  );
  failing.failed(asked('b'), new ArtifactError('internal', 'a\udc00b'));
  const [long, broken] = failing.list();
  assert.equal(long?.message, `${'x'.repeat(1021)}…`);
  assert.equal(long?.reference, `${'ü'.repeat(254)}…`);
  assert.equal(broken?.message, 'a\ufffdb');
});

test('no secret of the request is kept', () => {
  const { failing } = openList();
  const secrets = { username: 'robot-1', password: 'pass-word-1' };
  const error = new ArtifactError('denied', 'r refused robot-1 with pass-word-1');
  failing.failed(asked('a', { secrets, reference: 'r/pass-word-1' }), error);
  assert.doesNotMatch(JSON.stringify(failing.list()), /robot-1|pass-word-1/);
  assert.equal(failing.list()[0]?.message, 'r refused [redacted] with [redacted]');
});
