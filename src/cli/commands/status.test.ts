import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at, digest, nodeStatus, pullsUnderWay, volume } from '../../../test/support/node/samples.ts';
import { runShell } from '../../../test/support/node/shell.ts';
import type { NodeStatus } from '../../ports/node-status.ts';
import type { PullStatus } from '../../ports/usecases.ts';
import { ArtifactError } from '../../util/error.ts';
import { version } from '../../util/version.ts';
import { toTimestamp } from '../output.ts';

const around = {
  status: async () => nodeStatus,
  volumes: async () => [
    { ...volume, mounted: true },
    { ...volume, mounted: false },
  ],
  pulls: async (): Promise<readonly PullStatus[]> => [],
};

test('status shows both versions, kubelet, the disk, the volumes, and what is wrong', async () => {
  const ran = await runShell(['status'], { artifacts: around });
  assert.equal(
    ran.stdout,
    [
      `client:          ${version}`,
      'daemon:          9.8.7, driver.example, not ready',
      'not ready:       the disk is read-only',
      'kubelet:         has not registered the driver yet',
      'state directory: /var/lib/x, 1.0 GiB of content',
      'disk:            40 % in use, 60.0 GiB of 100 GiB available; 2 % of inodes in use',
      'volumes:         2, 1 mounted',
      'failing:         shop/web-0: registry.example/gone:2 (40s ago, 12 times): registry.example/gone:2 does not exist',
      'failing:         /pods/w/mount: no reference (2s ago, 1 time): the volume attribute reference is missing',
      'node:            fs-verity: off',
      'problem:         /etc/y: line 3 is broken',
      'prefetch:        1 of 3 in the cache, 1 failed, 1 for other nodes',
      'prefetch:        failed: big:v1: registry.example cannot be reached',
      'pulls:           none under way',
      '',
    ].join('\n'),
  );
  const { json } = await runShell(['status', '-o', 'json'], { artifacts: around });
  assert.deepEqual(json, {
    client: { version },
    ...nodeStatus,
    prefetch: nodeStatus.prefetch.map(entry => ({ ...entry, nextAt: toTimestamp(entry.nextAt ?? 0) })),
    failing: nodeStatus.failing.map(({ since, failedAt, ...failed }) => ({
      ...failed,
      since: toTimestamp(since),
      failedAt: toTimestamp(failedAt),
    })),
    volumes: { published: 2, mounted: 1, loading: 0 },
    pulls: [],
  });
  const { daemon: _, ...direct } = nodeStatus;
  const alone = await runShell(['status'], { artifacts: { ...around, status: async () => direct } });
  assert.match(alone.stdout, /^daemon: +none; the state directory is used directly$/m);
});

test('status counts the volumes that are mounted and still load', async () => {
  const late = { bytes: 50, totalBytes: 100, bytesPerSecond: 0, waitingReads: 0 };
  const volumes = async () =>
    [late, { ...late, bytes: 100 }, undefined].map(loading => ({
      ...volume,
      mounted: true,
      ...(loading && { loading }),
    }));
  const { stdout } = await runShell(['status'], { artifacts: { ...around, volumes } });
  assert.match(stdout, /^volumes: +3, 3 mounted, 1 still loading$/m);
});

test('what keeps a node from being ready is shown once, though it is a broken file as well', async () => {
  const problem = '/etc/x: line 3 is broken; until the file is corrected, what needs it is refused';
  const status = async (): Promise<NodeStatus> => ({
    ...nodeStatus,
    problems: [problem, ...nodeStatus.problems],
    daemon: { version, driverName: 'd', registration: 'off', notReady: [problem] },
  });
  const { stdout } = await runShell(['status'], { artifacts: { ...around, status } });
  assert.equal(stdout.split(problem).length, 2, stdout);
  assert.ok(stdout.includes(nodeStatus.problems[0] ?? '-'), stdout);
});

test('status names a prefetch that waits, is late or fails once', async () => {
  const late = 'r.example/b:1 was not ready at its deadline, 1970-01-01T00:01:00Z; set a later one';
  const prefetch = [
    ['waiting', 'a', 'r.example/a:1 waits for room in the cache: the disk is above its mark'],
    ['failed', 'b', late],
    ['pulling', 'c', 'r.example/c:1 does not exist'],
    ['waiting', 'd', undefined],
  ] as const;
  const status = async (): Promise<NodeStatus> => ({
    ...nodeStatus,
    prefetch: prefetch.map(([state, name, problem]) => ({
      reference: `r.example/${name}:1`,
      state,
      ...(problem && { problem }),
    })),
  });
  const { stdout } = await runShell(['status'], { artifacts: { ...around, status } });
  assert.deepEqual(stdout.match(/(?<=^prefetch: +)\S.*/gm)?.slice(1), [
    'r.example/a:1 waits for room in the cache: the disk is above its mark',
    `failed: ${late}`,
    'failed: r.example/c:1 does not exist',
  ]);
});

test('status lists the pulls in progress, oldest first, with their callers and waits', async () => {
  const artifacts = { ...around, pulls: async () => pullsUnderWay };
  const ran = await runShell(['status'], { artifacts });
  assert.equal(
    ran.stdout.slice(ran.stdout.indexOf('REFERENCE')),
    [
      'REFERENCE                                   PHASE     PULLED           RATE       AGE   FOR',
      'registry.example/a:1                        download  43 B of 7.0 GiB  3.0 MiB/s  100s  mount /mnt/a',
      'registry.example/z:1, registry.example/z:2  download  0 B of 100 B     0 B/s      5s    ml/web-0, pull',
      'registry.example/z:1, registry.example/z:2: registry.example asks to wait until 12:01',
      '',
    ].join('\n'),
  );
  const { json } = await runShell(['status', '--output', 'json'], { artifacts });
  const { pulls } = json as { readonly pulls: readonly { readonly since: string }[] };
  const times = [pullsUnderWay[1], pullsUnderWay[0]].map(pull => new Date(pull?.since ?? 0).toISOString());
  assert.deepEqual(
    pulls.map(({ since }) => since),
    times,
  );
  assert.partialDeepStrictEqual(pulls, [
    { wanters: pullsUnderWay[1]?.wanters },
    { wanters: pullsUnderWay[0]?.wanters },
  ]);
});

test('status of a pull that has not begun to download has no sizes, and a pod that is not known has its path', async () => {
  const wanters = [
    { reference: 'r.example/m:1', digest, kind: 'pod', targetPath: '/pods/u/x/mount' } as const,
  ];
  const artifacts = { ...around, pulls: async () => [{ since: 0, progress: at('resolve', 0), wanters }] };
  const { stdout } = await runShell(['status'], { artifacts });
  assert.match(stdout, /\nr\.example\/m:1 +resolve +- +- +\d+d +\/pods\/u\/x\/mount\n$/);
});

test('pull --cancel says how many pulls it ended, and fails where there is none', async () => {
  const artifacts = { cancel: async () => 2 };
  const ran = await runShell(['pull', '--cancel', 'z:1'], { artifacts });
  assert.equal(ran.stdout, 'cancelled 2 pulls of z:1\n');
  const { json } = await runShell(['pull', '--cancel', 'z:1', '--output=json'], { artifacts });
  assert.deepEqual(json, { reference: 'z:1', pulls: 2 });
  const cancel = async (): Promise<number> => {
    throw new ArtifactError('not-found', 'no pull of z:1 is under way');
  };
  assert.equal((await runShell(['pull', '--cancel', 'z:1'], { artifacts: { cancel } })).code, 3);
});
