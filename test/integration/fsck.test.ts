import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { toFinding } from '../../src/grpc/client/value.ts';
import type { Finding } from '../../src/ports/usecases.ts';
import { bodyName } from '../../src/tree/layer-files.ts';
import { publishRequest } from '../support/node/daemon.ts';
import { main } from '../support/node/main.ts';
import { openSetting } from '../support/node/setting.ts';
import { shownOf, verifyGone, verifyVolume } from '../support/node/volume.ts';
import { gzip, sha256, tarOf } from '../support/oci/tar.ts';

/** Its views are trees; image-views.test.ts damages images. */
const { registry, node, daemon } = await openSetting({ views: 'trees' });

/** What `fsck` finds in the cache of the daemon. */
async function fsck(repair: 'repair' | 'only look' = 'only look'): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for await (const { finding } of daemon.streams.Fsck({ repair: repair === 'repair' })) {
    if (finding) findings.push(toFinding(finding));
  }
  return findings;
}

/** The same, for a command of a user. */
function runFsck() {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'fsck', '--output=json'], {
    env: { PATH: process.env['PATH'], CSI_ENDPOINT: `unix://${node.socket}` },
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(stderr, '');
  const { findings } = JSON.parse(stdout) as { findings: readonly Finding[] };
  return { code: status, findings };
}

const right = 'the right bytes';
const wrong = 'the wrong bytes';

type Sample = {
  readonly reference: string;
  readonly layer: string;
  /** What fsck names. */
  readonly item: string;
  /** The file of the store that the volume's `d/model` is a link to. */
  readonly file: string;
  readonly files: readonly (readonly [path: string, text: string])[];
};

/** Pushes an artifact of one layer, which the store keeps as a blob or unpacked. */
async function push(kind: 'blob' | 'bodies', repository: string): Promise<Sample> {
  const files = [
    ['d/other', repository],
    ['d/model', right],
  ] as const;
  if (kind === 'blob') {
    const bytes = Buffer.from(right);
    const { reference } = await registry.push(repository, 'v1', [
      { name: 'd/other', bytes: Buffer.from(repository) },
      { name: 'd/model', bytes },
    ]);
    const layer = sha256(bytes);
    const item = join(node.stateDir, 'blobs', layer.replace(':', '/'));
    return { reference, layer, item, file: item, files };
  }
  const bytes = gzip(await tarOf(files.map(([name, content]) => [{ name }, content])));
  const mediaType = 'application/vnd.acme.layer.v1.tar+gzip';
  const { reference } = await registry.push(repository, 'v1', [{ bytes, mediaType }]);
  const layer = sha256(bytes);
  const item = join(node.stateDir, 'layers/bodies', layer.replace(':', '/'));
  return { reference, layer, item, file: join(item, bodyName(1)), files };
}

async function publish(reference: string, attributes: Readonly<Record<string, string>> = {}) {
  const request = await publishRequest(node, { reference, ...attributes });
  await daemon.csi.NodePublishVolume(request);
  return request;
}

/** Mounts it, verifies what it shows, and unmounts it: as a whole, and as a view that is new to the cache. */
async function verifyUses({ reference, files }: Sample): Promise<void> {
  for (const subPath of ['', 'd']) {
    const request = await publish(reference, subPath === '' ? {} : { subPath });
    const shown = files.map(([path, text]) => [relative(subPath, path), text] as const);
    verifyVolume(request.target_path, shownOf(shown));
    await daemon.csi.NodeUnpublishVolume(request);
    verifyGone(request.target_path);
  }
}

/** How a disk may lose a file. Views have the same inode, so that only the first reaches them. */
const damages: Readonly<Record<string, (path: string) => void>> = {
  'is written into': path => writeFileSync(path, wrong, { flag: 'r+' }),
  'is replaced': path => {
    writeFileSync(`${path}.new`, wrong);
    renameSync(`${path}.new`, path);
  },
  'is cut short': path => writeFileSync(path, right.slice(1)),
};

for (const kind of ['blob', 'bodies'] as const) {
  const named = kind === 'blob' ? 'blob' : 'body of an unpacked layer';
  const all = kind === 'blob' ? damages : { ...damages, 'is missing': (path: string) => rmSync(path) };

  for (const [nth, [what, damage]] of Object.entries(all).entries()) {
    test(`a ${named} that ${what} is found, and after its repair every mount is right`, async () => {
      const sample = await push(kind, `${kind}-${nth}`);
      const { reference, layer, item, file } = sample;
      await daemon.csi.NodeUnpublishVolume(await publish(reference));
      assert.equal(readFileSync(file, 'utf8'), right);
      assert.ok(statSync(file).nlink > 1, 'the view links it');
      const asked = registry.count('GET', layer);

      damage(file);
      const found = await fsck();
      assert.deepEqual(
        found.map(({ path }) => path),
        [item],
      );
      if (kind === 'bodies') assert.match(found[0]?.problem ?? '', /^body 1 \("d\/model"\) /);
      const repaired = found.map(finding => ({ ...finding, repaired: true }));
      assert.deepEqual(await fsck('repair'), repaired);
      assert.deepEqual(await fsck(), []);

      await verifyUses(sample);
      assert.equal(registry.count('GET', layer), asked + 1, 'it was pulled again');
      await daemon.artifacts.Remove({ reference }); // the next test pulls the same bytes
    });
  }

  test(`a damaged ${named} stays for the volumes that show it only, and they are all reported`, async () => {
    const sample = await push(kind, `${kind}-mounted`);
    const request = await publish(sample.reference);
    const target = request.target_path;
    writeFileSync(sample.file, wrong, { flag: 'r+' });
    const found = await fsck();
    assert.deepEqual(runFsck(), { code: 7, findings: found });
    const shown = `; ${target} shows it: delete that pod, and a new one gets the right bytes`;
    assert.deepEqual(
      found.map(({ path, problem }) => [path, problem.endsWith(shown)]),
      [[sample.item, true]],
    );

    const problem = found[0]?.problem ?? '';
    const repaired = await fsck('repair');
    const left = damagedViews(problem);
    assert.deepEqual(repaired, [
      { path: sample.item, problem, artifacts: [sample.reference], keptBy: [], repaired: true },
      ...left,
    ]);
    assert.equal(left.length, 1); // a volume shows it still
    for (const [path, text] of sample.files)
      assert.equal(readFileSync(join(target, path), 'utf8'), text === right ? wrong : text);
    const { volumes } = await daemon.artifacts.ListVolumes({});
    assert.match(volumes.find(volume => volume.target_path === target)?.damaged ?? '', / of sha256 /);
    const stats = await daemon.csi.NodeGetVolumeStats({ volume_id: request.volume_id, volume_path: target });
    assert.equal(stats.volume_condition?.abnormal, true);
    assert.match(
      stats.volume_condition?.message ?? '',
      /delete the pod, and a new one gets the right bytes$/,
    );

    const other = await publish(sample.reference);
    verifyVolume(other.target_path, shownOf(sample.files));
    assert.deepEqual(await fsck(), left);
    const warned = daemon
      .output()
      .split('\n')
      .filter(line => line.includes(`"path":"${left[0]?.path}"`));
    assert.match(warned.at(-1) ?? '', /"level":"warn".*"msg":"fsck found damage: /);
    await daemon.csi.NodePublishVolume(request); // the volume is as it was published
    const fresh = { volume_id: other.volume_id, volume_path: other.target_path };
    assert.equal((await daemon.csi.NodeGetVolumeStats(fresh)).volume_condition?.abnormal, false);
    for (const volume of [request, other]) {
      await daemon.csi.NodeUnpublishVolume(volume);
      verifyGone(volume.target_path);
    }
    assert.deepEqual(await fsck(), []);
    await verifyUses(sample);
    await daemon.artifacts.Remove({ reference: sample.reference });
  });
}

/** The messages about views that stay with the volume that shows them alone. */
function damagedViews(problem: string): readonly Finding[] {
  const views = join(node.stateDir, 'views');
  const kept = readdirSync(views).filter(name => /-[^.]*$/.test(name));
  const [item = '-'] = problem.split(';');
  return kept.map(name => ({
    path: join(views, name),
    problem: what(name),
    artifacts: [],
    keptBy: ['default/pod'],
    repaired: false,
  }));

  function what(name: string): string {
    const record = JSON.parse(readFileSync(join(views, `${name}.json`), 'utf8')) as { damage: string };
    assert.ok(record.damage.endsWith(item), record.damage);
    return record.damage;
  }
}

/** Possible changes of a view. It is `d`, with `model` and `other` in it. */
const changes: Readonly<Record<string, readonly [change: (d: string) => void, problem: string]>> = {
  'lost a file': [d => rmSync(join(d, 'other')), '"d/other" is missing'],
  'has one file more': [d => writeFileSync(join(d, 'more'), 'evil'), '"d/more" does not belong there'],
  'has a file replaced by one of its size': [
    d => {
      rmSync(join(d, 'model'));
      writeFileSync(join(d, 'model'), wrong);
    },
    '"d/model" is another file',
  ],
  'has two files swapped': [
    d => {
      renameSync(join(d, 'model'), join(d, 'x'));
      renameSync(join(d, 'other'), join(d, 'model'));
      renameSync(join(d, 'x'), join(d, 'other'));
    },
    '"d/other" is another file, and 1 more are wrong',
  ],
  'has a file renamed': [
    d => renameSync(join(d, 'model'), join(d, 'model2')),
    '"d/model2" does not belong there, and 1 more are wrong',
  ],
  'has a symlink in place of a file': [
    d => {
      rmSync(join(d, 'model'));
      symlinkSync('other', join(d, 'model'));
    },
    '"d/model" is no regular file',
  ],
  'has a directory that all may write to': [d => chmodSync(d, 0o777), '"d" has mode 777, not 755'],
  'has a directory of another owner': [d => chownSync(d, 7, 8), '"d" belongs to 7:8, not 0:0'],
};

for (const [nth, [what, [change, problem]]] of Object.entries(changes).entries()) {
  test(`a view that ${what} is found, and built again beside the volume that shows it`, async () => {
    const sample = await push('bodies', `views-${nth}`);
    const request = await publish(sample.reference);
    const views = join(node.stateDir, 'views');
    const [key = ''] = readdirSync(views).filter(name => !name.includes('.'));
    const asked = registry.asked.length;
    change(join(views, key, 'd'));
    const named = `${problem}; ${request.target_path} shows it: delete that pod, and a new one gets the right bytes`;
    const found = [
      {
        path: join(views, key),
        problem: named,
        artifacts: [sample.reference],
        keptBy: [],
        repaired: false,
      },
    ];
    assert.deepEqual(await fsck(), found);
    assert.deepEqual(
      await fsck('repair'),
      found.map(finding => ({ ...finding, repaired: true })),
    );
    const other = await publish(sample.reference);
    verifyVolume(other.target_path, shownOf(sample.files));
    for (const volume of [request, other]) await daemon.csi.NodeUnpublishVolume(volume);
    assert.deepEqual(await fsck(), []);
    await verifyUses(sample);
    assert.ok(
      registry.asked.slice(asked).every(({ method }) => method === 'HEAD'),
      'nothing was pulled again',
    );
    await daemon.artifacts.Remove({ reference: sample.reference });
  });

  test(`a view that ${what} is never shown to a new pod`, async () => {
    const sample = await push('bodies', `pods-${nth}`);
    const request = await publish(sample.reference);
    const views = join(node.stateDir, 'views');
    const [key = ''] = readdirSync(views).filter(name => !name.includes('.'));
    change(join(views, key, 'd'));
    const other = await publish(sample.reference);
    verifyVolume(other.target_path, shownOf(sample.files));
    for (const volume of [request, other]) await daemon.csi.NodeUnpublishVolume(volume);
    await daemon.artifacts.Remove({ reference: sample.reference });
  });
}

for (const [what, damage] of [
  ['is gone', (blob: string) => rmSync(blob)],
  [
    'was replaced',
    (blob: string) => {
      writeFileSync(`${blob}.new`, wrong);
      renameSync(`${blob}.new`, blob);
    },
  ],
] as const) {
  test(`a view is compared name by name, also if one of its blobs ${what}`, async () => {
    const sample = await push('blob', `compared-${what.replaceAll(' ', '-')}`);
    const request = await publish(sample.reference);
    const views = join(node.stateDir, 'views');
    const [key = ''] = readdirSync(views).filter(name => !name.includes('.'));
    damage(sample.item);
    const before = (await fsck()).map(({ path }) => path);
    assert.ok(!before.includes(join(views, key)), 'what it shows is right');
    writeFileSync(join(views, key, 'd/more'), 'evil');
    const found = (await fsck()).find(({ path }) => path === join(views, key));
    assert.match(found?.problem ?? '', /^"d\/more" does not belong there; /);
    await fsck('repair');
    const { volumes } = await daemon.artifacts.ListVolumes({});
    assert.match(volumes[0]?.damaged ?? '', /^"d\/more" does not belong there/);
    await daemon.csi.NodeUnpublishVolume(request);
    await verifyUses(sample);
    await daemon.artifacts.Remove({ reference: sample.reference });
  });
}

for (const kind of ['blob', 'bodies'] as const) {
  test(`a view of a ${kind} that was altered, and then removed, is not shown once that is pulled again`, async () => {
    const sample = await push(kind, `removed-${kind}`);
    await daemon.csi.NodeUnpublishVolume(await publish(sample.reference));
    chmodSync(sample.file, 0o777);
    rmSync(sample.item, { recursive: true });
    const beside = await registry.push(`beside-${kind}`, 'v1', [
      { name: 'other', bytes: Buffer.from(`beside ${kind}`) },
      ...(kind === 'blob' ? [{ name: 'd/model', bytes: Buffer.from(right) }] : []),
    ]);
    await daemon.csi.NodeUnpublishVolume(await publish(beside.reference)); // it brings the blob
    const { target_path } = await publish(sample.reference);
    verifyVolume(target_path, shownOf(sample.files));
    assert.equal(statSync(join(target_path, 'd/model')).mode & 0o7777, 0o644);
    assert.deepEqual(await fsck(), []);
    await daemon.csi.NodeUnpublishVolume({ volume_id: 'any', target_path });
    for (const { reference } of [sample, beside]) await daemon.artifacts.Remove({ reference });
  });
}

for (const [what, damage] of [
  ['lost a file', (layer: string) => rmSync(join(layer, bodyName(1)))],
  ['has a wrong table', (layer: string) => writeFileSync(join(layer, 'toc'), '!', { flag: 'r+' })],
] as const) {
  test(`a layer that ${what} is pulled again by the next mount of it`, async () => {
    const sample = await push('bodies', what.replaceAll(' ', '-'));
    const { reference, layer } = sample;
    await daemon.csi.NodeUnpublishVolume(await publish(reference));
    const asked = registry.count('GET', layer);
    damage(sample.item);
    await verifyUses(sample);
    assert.equal(registry.count('GET', layer), asked + 1);
    assert.deepEqual(await fsck(), []);
    await daemon.artifacts.Remove({ reference });
  });
}
