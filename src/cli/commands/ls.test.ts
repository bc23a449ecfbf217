import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { detail, digest, summaries, volume } from '../../../test/support/node/samples.ts';
import { runShell } from '../../../test/support/node/shell.ts';
import type { ArtifactDetail, VolumeStatus } from '../../ports/usecases.ts';

test('ls prints a table sorted by reference, with readable sizes and ages', async () => {
  const ran = await runShell(['ls'], { artifacts: { list: async () => summaries } });
  assert.equal(ran.code, 0);
  assert.equal(
    ran.stdout,
    [
      'REFERENCE             DIGEST               TYPE                           SIZE     LAST USED  VOLUMES  PINNED',
      'registry.example/a:1  sha512:cdcdcdcdcdcd  -                              12 B     never      0',
      'registry.example/z:1  sha256:abababababab  application/vnd.example.model  3.1 GiB  3h         2        yes',
      '',
    ].join('\n'),
  );
  const { json } = await runShell(['ls', '--output', 'json'], { artifacts: { list: async () => summaries } });
  const [later, never] = summaries;
  assert.deepEqual(
    json,
    [
      { ...never, usedAt: undefined, verifiedAt: undefined },
      {
        ...later,
        usedAt: new Date(later?.usedAt ?? 0).toISOString(),
        verifiedAt: new Date(later?.verifiedAt ?? 0).toISOString(),
      },
    ].map(row => JSON.parse(JSON.stringify(row))),
  );
});

test('ls in YAML is the document of JSON, and names alone are the references', async () => {
  const artifacts = { list: async () => summaries };
  const json = await runShell(['ls', '-o', 'json'], { artifacts });
  for (const argv of [
    ['ls', '-o', 'yaml'],
    ['list', '--output=yaml'],
    ['images', '-oyaml'],
  ]) {
    assert.deepEqual(parse((await runShell(argv, { artifacts })).stdout), json.json);
  }
  for (const argv of [
    ['ls', '-o', 'name'],
    ['ls', '-q'],
    ['ls', '--quiet'],
  ]) {
    const { stdout, stderr } = await runShell(argv, { artifacts });
    assert.equal(stdout, 'registry.example/a:1\nregistry.example/z:1\n');
    assert.equal(stderr, '', 'only the names');
  }
  const { code, stdout, stderr } = await runShell(['ls', '-q', '-o', 'json'], { artifacts });
  assert.deepEqual([code, stdout], [2, '']);
  assert.match(
    stderr,
    /-q, --quiet cannot be used with -o, --output <format>; see oci-artifact-csi ls --help/,
  );
});

test('a map without a key is absent from a document', async () => {
  for (const format of ['json', 'yaml']) {
    const inspect = async (): Promise<ArtifactDetail> => ({ ...detail, annotations: {}, volumes: [] });
    const { stdout } = await runShell(['inspect', 'z:1', '-o', format], { artifacts: { inspect } });
    const shown = parse(stdout) as Record<string, unknown>;
    assert.equal('annotations' in shown, false);
    assert.deepEqual(shown['volumes'], []);
  }
});

test('a table is cut to the width of a terminal, unless --no-trunc is given', async () => {
  const artifacts = { list: async () => summaries };
  const cut = await runShell(['ls'], { artifacts, columns: 80 });
  for (const line of cut.stdout.split('\n')) assert.ok(line.length <= 80, line);
  const whole = await runShell(['ls', '--no-trunc'], { artifacts, columns: 80 });
  for (const { reference, digest: shown } of summaries) {
    assert.match(whole.stdout, new RegExp(`^${reference} .*${shown}`, 'm'));
  }
});

test('ls of an empty cache is the header alone, or an empty list', async () => {
  const artifacts = { list: async () => [] };
  assert.equal((await runShell(['ls'], { artifacts })).stdout.trim().split('\n').length, 1);
  assert.deepEqual((await runShell(['ls', '--output', 'json'], { artifacts })).json, []);
});

test('volumes says which pod has which digest', async () => {
  const own = { ...volume, targetPath: '/mnt/a', mounted: false };
  const { pod: _, ...podless } = own;
  const artifacts = { volumes: async () => [volume, podless] };
  const ran = await runShell(['volumes'], { artifacts });
  assert.equal(
    ran.stdout,
    [
      'POD       REFERENCE  DIGEST               SIZE     AGE  MOUNTED  TARGET',
      '-         z:1        sha256:abababababab  1.0 MiB  90s  no       /mnt/a',
      'ml/web-0  z:1        sha256:abababababab  1.0 MiB  90s  yes      /pods/u/mount',
      '',
    ].join('\n'),
  );
  const list = (await runShell(['volumes', '--output', 'json'], { artifacts })).json as VolumeStatus[];
  assert.partialDeepStrictEqual(list[1], {
    pod: { namespace: 'ml' },
    publishedAt: new Date(volume.publishedAt).toISOString(),
  });
  assert.ok(!list.some(shown => 'fingerprint' in shown));
  const { stdout } = await runShell(['volumes', '-q'], { artifacts });
  assert.equal(stdout, '/mnt/a\n/pods/u/mount\n');
});

test('inspect --credentials lists where credentials are looked up, and needs no cached artifact', async () => {
  const endpoints = [
    { endpoint: 'm.io/z', sources: ['a: nothing for m.io/z', 'anonymous: used'] },
    { endpoint: 'r.io/z', sources: ['a: used (\u001b[2J)', 'anonymous: not needed'] },
  ];
  const asked: unknown[] = [];
  const explain = async (...told: readonly unknown[]) => {
    asked.push(told.slice(0, 2));
    return endpoints;
  };
  const ran = await runShell(['inspect', '--credentials', 'z:1'], { artifacts: { explain } });
  assert.equal(
    ran.stdout,
    'm.io/z\n  1. a: nothing for m.io/z\n  2. anonymous: used\nr.io/z\n  1. a: used (\\u001b[2J)\n  2. anonymous: not needed\n',
  );
  const json = await runShell(['inspect', '--credentials', '--output=json', 'z:1'], {
    artifacts: { explain },
  });
  assert.deepEqual(json.json, endpoints);
  const ofPod = ['inspect', '--credentials', '--pod', 'ml/web-0', 'z:1'];
  assert.equal((await runShell(ofPod, { artifacts: { explain } })).stdout, ran.stdout);
  assert.deepEqual(asked, [
    ['z:1', { secrets: {} }],
    ['z:1', { secrets: {} }],
    ['z:1', { secrets: {}, pod: { namespace: 'ml', name: 'web-0' } }],
  ]);
});

test('a pod is named by namespace and name, and for its credentials alone', async () => {
  for (const [argv, message] of [
    [['--credentials', '--pod', 'web-0'], /--pod: invalid pod "web-0": must be NAMESPACE\/NAME/],
    [['--credentials', '--pod', '/web-0'], /must be NAMESPACE\/NAME/],
    [['--credentials', '--pod', 'a/b/c'], /must be NAMESPACE\/NAME/],
    [['--pod', 'ml/web-0'], /--pod goes with --credentials/],
  ] as const) {
    const { code, stderr } = await runShell(['inspect', ...argv, 'z:1']);
    assert.equal(code, 2);
    assert.match(stderr, message);
  }
});

test('volumes names below the table the pods whose volumes a policy would refuse now, or are damaged, or load', async () => {
  const { pod: _, ...podless } = { ...volume, targetPath: '/mnt/a' };
  const loading = { bytes: 2 ** 20, totalBytes: 2 ** 21, bytesPerSecond: 0, waitingReads: 0 };
  const states: readonly (readonly [Partial<VolumeStatus>, string])[] = [
    [
      { refused: 'z:1 is refused by default[0] of /p.json' },
      'would be refused now: z:1 is refused by default[0] of /p.json',
    ],
    [{ damaged: 'blob b is cut short' }, 'shows damaged content: blob b is cut short'],
    [{ loading }, 'is loaded on demand: 50 % of 2.0 MiB'],
  ];
  for (const [state, text] of states) {
    const volumes = async () => [podless, volume].map(one => ({ ...one, ...state }));
    const { stdout } = await runShell(['volumes'], { artifacts: { volumes } });
    assert.deepEqual(stdout.trimEnd().split('\n').slice(-2), [
      `/mnt/a ${text}`,
      `ml/web-0 (/pods/u/mount) ${text}`,
    ]);
  }
});

test('what a registry says cannot steer the terminal', async () => {
  const inspect = async (): Promise<ArtifactDetail> => ({
    ...detail,
    artifactType: '\u001b]0;owned\u0007',
    annotations: { note: 'a\nreference: forged' },
    layers: [{ digest, mediaType: 'm\u009b2J', size: 1, name: 'x\ty', form: 'file', held: true }],
    volumes: ['/a', '/b'],
  });
  const { stdout } = await runShell(['inspect', 'z:1'], { artifacts: { inspect } });
  assert.doesNotMatch(stdout, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
  assert.match(stdout, /^volumes: +\/a, \/b$/m);
  assert.match(stdout, /^sha256:abababababab +1 B +file +yes +x\\u0009y +m\\u009b2J$/m);
  assert.doesNotMatch(stdout, /^reference: forged/m);
  for (const format of ['json', 'yaml']) {
    const document = await runShell(['inspect', 'z:1', '-o', format], { artifacts: { inspect } });
    assert.doesNotMatch(document.stdout, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    assert.partialDeepStrictEqual(parse(document.stdout), {
      artifactType: '\u001b]0;owned\u0007',
      annotations: { note: 'a\nreference: forged' },
      layers: [{ mediaType: 'm\u009b2J', name: 'x\ty' }],
    });
  }
});
