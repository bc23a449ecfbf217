import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDigest } from '../../oci/digest.ts';
import type { Origin } from '../../ports/publishing.ts';
import type { Progress } from '../../ports/usecases.ts';
import { toOrigin } from '../pull/progress.ts';
import { formatSubject, type PullStory, tellMounted, tellProgress } from './pull-story.ts';

const GiB = 1024 ** 3;
const minute = 60_000;
const digest = parseDigest(`sha256:${'d'.repeat(64)}`);
const subject = 'r/m:v1 for the volume "model"';

const progressOf = (gib: number, more: Partial<Progress> = {}): Progress => ({
  phase: 'download',
  bytes: gib * GiB,
  totalBytes: 8 * GiB,
  layers: Math.floor(gib / 2),
  totalLayers: 4,
  bytesPerSecond: 0,
  ...more,
});

const nothing: Progress = { ...progressOf(0), phase: 'resolve', totalBytes: 0, totalLayers: 0 };
const cached = progressOf(8, { phase: 'build' });
const waiting = { waits: 'r asks to wait until noon' };

/** What is told of reports, each at its minute, and of a mount at the last minute. */
function tell(reports: readonly (readonly [minute: number, Progress])[], end: number): readonly string[] {
  let story: PullStory | undefined;
  let followed: Origin | undefined;
  const told: string[] = [];
  for (const [at, progress] of reports) {
    const next = tellProgress(story, subject, progress, at * minute);
    story = next.story;
    followed = toOrigin(followed, progress);
    if (next.told !== undefined) told.push(next.told.message);
  }
  const origin = followed ?? { pulled: 0, cached: 8 * GiB };
  const { reason, message } = tellMounted(story, subject, { digest, bytes: 8 * GiB, origin }, end * minute);
  return [...told, `${reason}: ${message}`];
}

const stories: readonly (readonly [string, Parameters<typeof tell>, readonly string[]])[] = [
  [
    'a volume from the cache is mounted',
    [[], 0],
    [`Mounted: Mounted ${subject} from the cache: 8.0 GiB, ${digest}`],
  ],
  [
    'content in the cache is not pulled, even if its tree must be built',
    [[[0, cached]], 1],
    [`Mounted: Mounted ${subject} from the cache: 8.0 GiB, ${digest}`],
  ],
  [
    'a pull is told of at its beginning, once a minute, and at its end',
    [
      [
        [0, nothing],
        [0, progressOf(0)],
        [0.5, progressOf(2)],
        [1, progressOf(4, { bytesPerSecond: 64 * 1024 ** 2 })],
        [1.5, progressOf(6)],
        [1.9, progressOf(8, { phase: 'unpack' })],
        [2, progressOf(8, { phase: 'build' })],
      ],
      2.5,
    ],
    [
      `Pulling ${subject}: pulled 0 B of 8.0 GiB, 0 of 4 layers`,
      `Pulling ${subject}: pulled 4.0 GiB of 8.0 GiB, 2 of 4 layers, 64.0 MiB/s`,
      `Pulling ${subject}: all 8.0 GiB are here, and the view is being built`,
      `Pulled: Pulled ${subject} in 150 s: 8.0 GiB at 54.6 MiB/s, ${digest}`,
    ],
  ],
  [
    'what the cache had is neither pulled nor part of the rate',
    [[[0, progressOf(4)]], 1],
    [
      `Pulling ${subject}: pulled 4.0 GiB of 8.0 GiB, 2 of 4 layers`,
      `Pulled: Pulled ${subject} in 60 s: 4.0 GiB at 68.3 MiB/s, and 4.0 GiB were in the cache, ${digest}`,
    ],
  ],
  [
    'a wait is told of before the size is known',
    [
      [
        [0, { ...nothing, ...waiting }],
        [2, progressOf(1)],
      ],
      3,
    ],
    [
      `Pulling ${subject}: r asks to wait until noon`,
      `Pulling ${subject}: pulled 1.0 GiB of 8.0 GiB, 0 of 4 layers`,
      `Pulled: Pulled ${subject} in 180 s: 7.0 GiB at 39.8 MiB/s, and 1.0 GiB were in the cache, ${digest}`,
    ],
  ],
  [
    'a wait for nothing but an answer ends as from the cache',
    [[[0, { ...nothing, ...waiting }]], 1],
    [
      `Pulling ${subject}: r asks to wait until noon`,
      `Mounted: Mounted ${subject} from the cache: 8.0 GiB, ${digest}`,
    ],
  ],
];

for (const [name, told, expected] of stories) {
  test(name, () => {
    assert.deepEqual(tell(...told), expected);
  });
}

test('no message has a percent sign', () => {
  for (const [, told] of stories) assert.doesNotMatch(tell(...told).join(), /%/);
});

test('a volume is named as in the pod', () => {
  const path = '/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/model/mount';
  assert.equal(formatSubject('r/m:v1', path), 'r/m:v1 for the volume "model"');
  assert.equal(formatSubject('r/m:v1', '/mnt/model'), 'r/m:v1');
});
