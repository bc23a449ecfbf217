import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { noon, runShell } from '../../../test/support/shell.ts';
import { temporaryFolder } from '../../../test/support/temporary.ts';
import { toDigest } from '../../oci/digest.ts';
import type { PublishRequest, PullRequest } from '../../volume/request.ts';
import type { ArtifactSummary, Progress, Pulled, VolumeStatus } from '../../volume/usecases.ts';

const digest = toDigest('sha256', 'ab'.repeat(32));
const other = toDigest('sha256', 'cd'.repeat(32));

const summaries: readonly ArtifactSummary[] = [
  {
    reference: 'registry.example/z:1',
    digest,
    artifactType: 'application/vnd.example.model',
    bytes: 3.1 * 2 ** 30,
    usedAt: noon - 3 * 3600_000,
    pinned: true,
    volumes: 2,
  },
  {
    reference: 'registry.example/a:1',
    digest: other,
    artifactType: '',
    bytes: 12,
    usedAt: 0,
    pinned: false,
    volumes: 0,
  },
];

const volume: VolumeStatus = {
  volumeId: 'csi-1',
  targetPath: '/pods/u/mount',
  fingerprint: '{}',
  anywhere: false,
  reference: 'z:1',
  resolved: 'registry.example/z:1',
  digest,
  manifest: digest,
  view: 'v',
  bytes: 2 ** 20,
  inodes: 3,
  pod: { namespace: 'ml', name: 'web-0', uid: 'u' },
  publishedAt: noon - 90_000,
  mounted: true,
};

const pulled: Pulled = {
  reference: 'registry.example/z:1',
  digest,
  manifest: digest,
  view: 'v',
  path: '/state/views/v',
  bytes: 2 ** 20,
  inodes: 3,
};

const at = (phase: Progress['phase'], bytes: number): Progress => ({
  phase,
  bytes,
  totalBytes: phase === 'resolve' ? 0 : 100,
  layers: 0,
  totalLayers: 2,
});

test('ls is a table sorted by reference, with sizes and ages for people', async () => {
  const ran = await runShell(['ls'], { artifacts: { list: async () => summaries } });
  assert.equal(ran.code, 0);
  assert.equal(
    ran.stdout,
    [
      'REFERENCE             DIGEST               TYPE                           SIZE     USED   VOLUMES  PINNED',
      'registry.example/a:1  sha256:cdcdcdcdcdcd  -                              12 B     never  0',
      'registry.example/z:1  sha256:abababababab  application/vnd.example.model  3.1 GiB  3h     2        yes',
      '',
    ].join('\n'),
  );
  const { json } = await runShell(['ls', '--output', 'json'], { artifacts: { list: async () => summaries } });
  assert.deepEqual(json, [summaries[1], summaries[0]]);
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
  assert.equal(list[1]?.pod?.namespace, 'ml');
});

test('what a registry says cannot steer the terminal', async () => {
  const inspect = async (): Promise<never> =>
    ({
      ...pulled,
      kind: 'artifact',
      mediaType: 'm',
      artifactType: '\u001b]0;owned\u0007',
      annotations: { note: 'a\nreference: forged' },
      layers: [{ digest, mediaType: 'm\u009b2J', size: 1, name: 'x\ty', form: 'file', held: true }],
      pinned: false,
      volumes: ['/a', '/b'],
    }) as never;
  const { stdout } = await runShell(['inspect', 'z:1'], { artifacts: { inspect } });
  assert.doesNotMatch(stdout, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
  assert.match(stdout, /^volumes: +\/a, \/b$/m);
  assert.match(stdout, /^sha256:abababababab +1 B +file +yes +x\\u0009y +m\\u009b2J$/m);
  assert.doesNotMatch(stdout, /^reference: forged/m);
});

test('pull takes every flag of a selection, and tells its progress in lines where there is no terminal', async () => {
  let seen: PullRequest | undefined;
  const ran = await runShell(
    'pull z:1 --pull-policy Never --unpack never --sub-path a/b --include *.json,w/** --exclude *.bin --platform linux/arm/v7'.split(
      ' ',
    ),
    {
      artifacts: {
        pull: async (request, update) => {
          seen = request;
          for (const step of [at('resolve', 0), at('download', 3), at('download', 9)]) update(step);
          for (const step of [at('download', 43), at('download', 100), at('done', 100)]) update(step);
          return pulled;
        },
      },
    },
  );
  assert.deepEqual(seen, {
    reference: 'z:1',
    pullPolicy: 'Never',
    platform: { os: 'linux', architecture: 'arm', variant: 'v7' },
    selection: { unpack: 'never', include: ['*.json', 'w/**'], exclude: ['*.bin'], subPath: 'a/b' },
    secrets: {},
  });
  assert.deepEqual(ran.stderr.trimEnd().split('\n'), [
    'resolve',
    'download 3 % (3 B of 100 B, 0 of 2 layers)',
    'download 43 % (43 B of 100 B, 0 of 2 layers)',
    'download 100 % (100 B of 100 B, 0 of 2 layers)',
    'done 100 % (100 B of 100 B, 0 of 2 layers)',
  ]);
  assert.equal(ran.stdout, `registry.example/z:1@${digest}\n1.0 MiB, 3 inodes\n`);
});

test('pull without flags asks for the defaults of a volume', async () => {
  let seen: PullRequest | undefined;
  const pull = async (request: PullRequest): Promise<Pulled> => {
    seen = request;
    return pulled;
  };
  await runShell(['pull', 'z'], { artifacts: { pull } });
  const selection = { unpack: 'auto', include: [], exclude: [] };
  assert.deepEqual(seen, { reference: 'z', selection, secrets: {} });
});

test('pull in JSON is one line for each step and one for the result, and nothing else', async () => {
  const ran = await runShell(['pull', 'z:1', '--output', 'json'], {
    artifacts: {
      pull: async (_, update) => {
        update(at('download', 3));
        return pulled;
      },
    },
  });
  const lines = ran.stdout.trimEnd().split('\n');
  assert.deepEqual(
    lines.map(line => JSON.parse(line) as unknown),
    [
      { kind: 'progress', ...at('download', 3) },
      { kind: 'pulled', ...pulled },
    ],
  );
  assert.equal(ran.stderr, '');
});

test('an interrupted pull says that the same command goes on, and exits 130', async () => {
  const controller = new AbortController();
  const ran = await runShell(['pull', 'z:1'], {
    signal: controller.signal,
    artifacts: {
      pull: async (_request, _update, signal) => {
        controller.abort();
        signal.throwIfAborted();
        return pulled;
      },
    },
  });
  assert.equal(ran.code, 130);
  assert.match(ran.stderr, /interrupted; .*z:1 is kept, and the same command goes on/);
});

test('a password comes from the input, an auth file from its path, under the keys of a pull secret', async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, 'auth.json');
  await writeFile(file, '{"auths":{}}');
  const seen: object[] = [];
  const resolve = async (_: string, secrets: Readonly<Record<string, string>>): Promise<never> => {
    seen.push(secrets);
    const descriptor = { digest, mediaType: 'm', size: 1, annotations: {} };
    return { reference: 'registry.example/z:1', descriptor, cached: true } as never;
  };
  const ran = await runShell(['resolve', 'z:1', '--username', 'me', '--password-stdin'], {
    stdin: ['pass ', 'word\n'],
    artifacts: { resolve },
  });
  assert.match(ran.stdout, new RegExp(`^digest: +${digest}$`, 'm'));
  await runShell(['resolve', 'z:1', '--auth-file', file], { artifacts: { resolve } });
  assert.deepEqual(seen, [
    { username: 'me', password: 'pass word' },
    { '.dockerconfigjson': '{"auths":{}}' },
  ]);
  const absent = await runShell(['resolve', 'z:1', '--auth-file', `${file}x`], { artifacts: { resolve } });
  assert.equal(absent.code, 2);
  assert.match(absent.stderr, /--auth-file: .*ENOENT/);
  const empty = await runShell(['resolve', 'z:1', '--username', 'me', '--password-stdin']);
  assert.match(empty.stderr, /no password on the input/);
});

test('rm and prune say what they freed', async () => {
  const artifacts = {
    remove: async () => ({ artifacts: 1, bytes: 2 ** 20 }),
    prune: async () => ({ artifacts: 2, bytes: 0 }),
  };
  assert.equal((await runShell(['rm', 'z:1'], { artifacts })).stdout, 'freed 1.0 MiB, 1 artifact\n');
  assert.equal((await runShell(['prune'], { artifacts })).stdout, 'freed 0 B, 2 artifacts\n');
  const { json } = await runShell(['prune', '--output', 'json'], { artifacts });
  assert.deepEqual(json, { artifacts: 2, bytes: 0 });
});

test('pin and unpin name what they did', async () => {
  const artifacts = { pin: async () => digest, unpin: async () => {} };
  assert.equal((await runShell(['pin', 'z:1'], { artifacts })).stdout, `pinned z:1 at ${digest}\n`);
  assert.deepEqual((await runShell(['pin', 'z:1', '--output=json'], { artifacts })).json, {
    reference: 'z:1',
    digest,
  });
  assert.equal((await runShell(['unpin', 'z:1'], { artifacts })).stdout, 'unpinned z:1\n');
});

test('mount publishes a volume that is no pod’s, the same for the same folder', async () => {
  const seen: PublishRequest[] = [];
  const publish = async (request: PublishRequest): Promise<VolumeStatus> => {
    seen.push(request);
    return volume;
  };
  const argv = ['mount', 'z:1', 'some/dir', '--sub-path', 'w'];
  const ran = await runShell(argv, { publishing: { publish } });
  await runShell(argv, { publishing: { publish } });
  await runShell(['mount', 'z:2', 'some/dir'], { publishing: { publish } });
  assert.match(ran.stdout, /^registry\.example\/z:1@sha256:\S+ at \S+\/some\/dir, 1\.0 MiB, read-only$/m);
  const [first, again, another] = seen;
  assert.equal(first?.targetPath, join(process.cwd(), 'some/dir'));
  assert.equal(first?.anywhere, true);
  assert.deepEqual(first, again);
  assert.equal(first?.volumeId, another?.volumeId);
  assert.notEqual(first?.fingerprint, another?.fingerprint);
});

test('unmount takes away a volume of the command line, and refuses the volume of a pod', async () => {
  const own = { ...volume, anywhere: true, targetPath: '/mnt/a', volumeId: 'mount-1' };
  const gone: unknown[] = [];
  const around = {
    artifacts: { volumes: async () => [volume, own] },
    publishing: { unpublish: async (...told: unknown[]) => void gone.push(told.slice(0, 2)) },
  };
  assert.equal((await runShell(['unmount', '/mnt/a/'], around)).stdout, 'unmounted /mnt/a\n');
  assert.deepEqual(gone, [['mount-1', { path: '/mnt/a', anywhere: true }]]);
  const refused = await runShell(['unmount', '/pods/u/mount'], around);
  assert.equal(refused.code, 5);
  assert.match(refused.stderr, /a volume of the pod ml\/web-0; delete the pod/);
  assert.equal((await runShell(['unmount', '/elsewhere'], around)).code, 3);
  assert.equal(gone.length, 1);
});

test('fsck names what is wrong and exits 7, or 0 when it was repaired', async () => {
  const finding = { path: 'blobs/sha256/ab', problem: 'the digest is another' };
  const artifacts = {
    fsck: async (repair: boolean, tell: (found: typeof finding & { repaired: boolean }) => void) => {
      tell({ ...finding, repaired: repair });
      return { checked: 12 };
    },
  };
  const found = await runShell(['fsck'], { artifacts });
  assert.equal(found.code, 7);
  assert.equal(
    found.stdout,
    'blobs/sha256/ab: the digest is another\n12 items checked, 1 wrong; fsck --repair drops it\n',
  );
  const repaired = await runShell(['fsck', '--repair', '--output', 'json'], { artifacts });
  assert.equal(repaired.code, 0);
  assert.deepEqual(
    repaired.stdout
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as unknown),
    [
      { kind: 'finding', ...finding, repaired: true },
      { kind: 'checked', checked: 12, wrong: 1 },
    ],
  );
  const clean = await runShell(['fsck'], { artifacts: { fsck: async () => ({ checked: 1 }) } });
  assert.equal(clean.stdout, '1 item checked, 0 wrong\n');
});

test('load packs a folder, takes a tar, and reads the input: all the same bytes', async () => {
  await using folder = await temporaryFolder();
  const layout = join(folder.path, 'layout');
  await mkdir(join(layout, 'blobs/sha256'), { recursive: true });
  await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(layout, 'index.json'), '{}');
  await writeFile(join(layout, 'blobs/sha256', 'ff'), Buffer.alloc(3_000_000, 7));
  await writeFile(join(layout, 'blobs/sha256', 'aa'), '');
  const taken: Buffer[] = [];
  const references: (string | undefined)[] = [];
  const load = async (tar: AsyncIterable<Uint8Array>, reference: string | undefined): Promise<never> => {
    taken.push(Buffer.concat(await Array.fromAsync(tar)));
    references.push(reference);
    return [{ reference: 'registry.example/z:1', descriptor: { digest }, cached: true }] as never;
  };
  const ran = await runShell(['load', layout], { artifacts: { load } });
  assert.equal(ran.stdout, `registry.example/z:1@${digest}\n`);
  const [tar] = taken;
  assert.ok(tar !== undefined && tar.length > 3_000_000);
  const names = [0, 1024, 2048, 2560].map(
    offset => tar.toString('latin1', offset, offset + 100).split('\0')[0],
  );
  assert.deepEqual(names, ['oci-layout', 'index.json', 'blobs/sha256/aa', 'blobs/sha256/ff']);

  const file = join(folder.path, 'layout.tar');
  await writeFile(file, tar);
  await runShell(['load', file, 'registry.example/other:1'], { artifacts: { load } });
  await runShell(['load', '-'], { stdin: [tar], artifacts: { load } });
  assert.deepEqual(references, [undefined, 'registry.example/other:1', undefined]);
  for (const again of taken) assert.ok(again.equals(tar));
});

test('load refuses what is no layout before it asks for anything', async () => {
  await using folder = await temporaryFolder();
  for (const path of [folder.path, join(folder.path, 'nothing')]) {
    const ran = await runShell(['load', path]);
    assert.equal(ran.code, 2);
    assert.match(ran.stderr, /an OCI image layout is a folder with index\.json, or its tar/);
  }
});

test('a layout that loses a blob while it is packed fails the load', async () => {
  await using folder = await temporaryFolder();
  await mkdir(join(folder.path, 'blobs/sha256/not-a-file'), { recursive: true });
  await writeFile(join(folder.path, 'oci-layout'), '{}');
  await writeFile(join(folder.path, 'index.json'), '{}');
  const load = async (tar: AsyncIterable<Uint8Array>): Promise<never> => {
    await Array.fromAsync(tar);
    return [] as never;
  };
  const ran = await runShell(['load', folder.path], { artifacts: { load } });
  assert.notEqual(ran.code, 0);
  assert.match(ran.stderr, /EISDIR/);
});
