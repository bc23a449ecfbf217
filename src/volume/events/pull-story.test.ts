import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDigest } from '../../oci/digest.ts';
import type { Origin } from '../../ports/publishing.ts';
import type { Progress } from '../../ports/usecases.ts';
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

const originOf = (pulled: number, resumed = 0): Origin => ({
  pulled: pulled * GiB,
  resumed: resumed * GiB,
  cached: (8 - pulled - resumed) * GiB,
  pulledLayers: pulled / 2,
  cachedLayers: 4 - pulled / 2,
});

/** What is told of reports, each at its minute, and of a mount at the last minute. */
function tell(
  reports: readonly (readonly [minute: number, Progress])[],
  end: number,
  origin: Origin,
): readonly string[] {
  let story: PullStory | undefined;
  const told: string[] = [];
  for (const [at, progress] of reports) {
    const next = tellProgress(story, subject, progress, at * minute);
    story = next.story;
    if (next.told !== undefined) told.push(next.told.message);
  }
  const { reason, message } = tellMounted(story, subject, { digest, bytes: 8 * GiB, origin }, end * minute);
  return [...told, `${reason}: ${message}`];
}

const stories: readonly (readonly [string, Parameters<typeof tell>, readonly string[]])[] = [
  [
    'a volume from the cache is mounted',
    [[], 0, originOf(0)],
    [`Mounted: Mounted ${subject} from the cache: 8.0 GiB, ${digest}`],
  ],
  [
    'a volume that is loaded on demand is mounted before all of it is here, whatever came first',
    [[[0, progressOf(1)]], 1, { ...originOf(2), later: 6 * GiB }],
    [
      `Pulling ${subject}: pulled 1.0 GiB of 8.0 GiB, 0 of 4 layers`,
      `Mounted: Mounted ${subject}: the rest of its 8.0 GiB is downloaded while the pod runs, ${digest}`,
    ],
  ],
  [
    'content in the cache is not pulled, even if its tree must be built',
    [[[0, cached]], 1, originOf(0)],
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
      originOf(8),
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
    [[[0, progressOf(4)]], 1, originOf(4)],
    [
      `Pulling ${subject}: pulled 4.0 GiB of 8.0 GiB, 2 of 4 layers`,
      `Pulled: Pulled ${subject} in 60 s: 4.0 GiB at 68.3 MiB/s, 4.0 GiB were in the cache, ${digest}`,
    ],
  ],
  [
    'what was downloaded before an interruption is neither pulled nor part of the rate',
    [[[0, progressOf(3)]], 1, originOf(4, 3)],
    [
      `Pulling ${subject}: pulled 3.0 GiB of 8.0 GiB, 1 of 4 layers`,
      `Pulled: Pulled ${subject} in 60 s: 4.0 GiB at 68.3 MiB/s, 3.0 GiB were downloaded before an interruption, 1.0 GiB were in the cache, ${digest}`,
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
      originOf(7),
    ],
    [
      `Pulling ${subject}: r asks to wait until noon`,
      `Pulling ${subject}: pulled 1.0 GiB of 8.0 GiB, 0 of 4 layers`,
      `Pulled: Pulled ${subject} in 180 s: 7.0 GiB at 39.8 MiB/s, 1.0 GiB were in the cache, ${digest}`,
    ],
  ],
  [
    'a wait for nothing but an answer ends as from the cache',
    [[[0, { ...nothing, ...waiting }]], 1, originOf(0)],
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
