import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { bodyName } from '../src/oci/toc.ts';
import type { Finding } from '../src/volume/usecases.ts';
import { publishRequest } from './support/daemon.ts';
import { outcomeOf } from './support/outcome.ts';
import { openSetting } from './support/setting.ts';
import { gzip, sha256, tarOf } from './support/tar.ts';
import { shownOf, verifyGone, verifyVolume } from './support/volume.ts';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const { registry, node, daemon } = await openSetting();

type Checked = { readonly code: number | null; readonly findings: readonly Finding[] };

/** What a person's `fsck` says of the cache of the daemon. */
function fsck(...flags: readonly string[]): Checked {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'fsck', '--output=json', ...flags], {
    env: { PATH: process.env['PATH'], CSI_ENDPOINT: `unix://${node.socket}` },
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(stderr, '');
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as { kind: string } & Finding);
  const findings = lines.slice(0, -1).map(({ path, problem, repaired }) => ({ path, problem, repaired }));
  assert.partialDeepStrictEqual(lines.at(-1), { kind: 'checked', wrong: findings.length });
  return { code: status, findings };
}

const nothing: Checked = { code: 0, findings: [] };
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
    test(`a ${named} that ${what} is found, and after the repair every mount is right`, async () => {
      const sample = await push(kind, `${kind}-${nth}`);
      const { reference, layer, item, file } = sample;
      await daemon.csi.NodeUnpublishVolume(await publish(reference));
      assert.equal(readFileSync(file, 'utf8'), right);
      assert.ok(statSync(file).nlink > 1, 'the view links it');
      const asked = registry.count('GET', layer);

      damage(file);
      const found = fsck();
      assert.deepEqual([found.code, found.findings.map(({ path }) => path)], [7, [item]]);
      if (kind === 'bodies') assert.match(found.findings[0]?.problem ?? '', /^body 1 \("d\/model"\) /);
      const repaired = found.findings.map(finding => ({ ...finding, repaired: true }));
      assert.deepEqual(fsck('--repair'), { code: 0, findings: repaired });
      assert.deepEqual(fsck(), nothing);

      await verifyUses(sample);
      assert.equal(registry.count('GET', layer), asked + 1, 'it was pulled again');
      await daemon.artifacts.Remove({ reference }); // the next test pulls the same bytes
    });
  }

  test(`a damaged ${named} that a mounted volume shows is kept until the volume is gone`, async () => {
    const sample = await push(kind, `${kind}-mounted`);
    const request = await publish(sample.reference);
    const target = request.target_path;
    writeFileSync(sample.file, wrong, { flag: 'r+' });
    const found = fsck();
    assert.equal(found.code, 7);

    const kept = fsck('--repair');
    assert.equal(kept.code, 7);
    assert.deepEqual(
      kept.findings.map(({ path, repaired }) => [path, repaired]),
      [[sample.item, false]],
    );
    assert.equal(
      kept.findings[0]?.problem,
      `${found.findings[0]?.problem}; not dropped, ${target} shows it: delete that pod, then repair again`,
    );
    assert.equal(readFileSync(sample.file, 'utf8'), wrong);
    for (const [path, text] of sample.files)
      assert.equal(readFileSync(join(target, path), 'utf8'), text === right ? wrong : text);

    await daemon.csi.NodeUnpublishVolume(request);
    assert.equal(fsck('--repair').code, 0);
    await verifyUses(sample);
    await daemon.artifacts.Remove({ reference: sample.reference });
  });
}

test('a view that lost a file is found, and built again once no mounted volume shows it', async () => {
  const sample = await push('bodies', 'views');
  const request = await publish(sample.reference);
  const views = join(node.stateDir, 'views');
  const [key = ''] = readdirSync(views).filter(name => !name.endsWith('.json'));
  const view = join(views, key);
  const asked = registry.asked.length;
  rmSync(join(view, 'd/other'));
  const problem = `it has 3 inodes and ${right.length} bytes, not 4 and ${right.length + 'views'.length}`;
  assert.deepEqual(fsck(), { code: 7, findings: [{ path: view, problem, repaired: false }] });
  const kept = `${problem}; not dropped, ${request.target_path} shows it: delete that pod, then repair again`;
  assert.deepEqual(fsck('--repair'), { code: 7, findings: [{ path: view, problem: kept, repaired: false }] });

  await daemon.csi.NodeUnpublishVolume(request);
  assert.deepEqual(fsck('--repair'), { code: 0, findings: [{ path: view, problem, repaired: true }] });
  assert.deepEqual(fsck(), nothing);
  await verifyUses(sample);
  assert.ok(
    registry.asked.slice(asked).every(({ method }) => method === 'HEAD'),
    'nothing was pulled again',
  );
  await daemon.artifacts.Remove({ reference: sample.reference });
});

for (const [what, damage] of [
  ['lost a file', (layer: string) => rmSync(join(layer, bodyName(1)))],
  ['has a wrong table', (layer: string) => writeFileSync(join(layer, 'toc'), '!', { flag: 'r+' })],
] as const) {
  test(`who mounts of a layer that ${what} is told what to do, and it helps`, async () => {
    const sample = await push('bodies', what.replaceAll(' ', '-'));
    const { reference } = sample;
    await daemon.csi.NodeUnpublishVolume(await publish(reference));
    damage(sample.item);
    const { code, text } = await outcomeOf(publish(reference, { subPath: 'd' }));
    assert.equal(code, 'UNAVAILABLE');
    assert.match(text, /; run `fsck --repair` on the node, then mount it again$/);
    assert.equal(fsck('--repair').code, 0);
    await verifyUses(sample);
    await daemon.artifacts.Remove({ reference });
  });
}
